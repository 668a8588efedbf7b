import { createHash, randomBytes } from "node:crypto";

// 128 random bits: nobody guesses one.
const ID_BYTES = 16;
const FILE_ID = /^file-[0-9a-f]{32}$/;
const BATCH_ID = /^batch_[0-9a-f]{32}$/;

export function newFileId(): string {
  return `file-${randomBytes(ID_BYTES).toString("hex")}`;
}

export function newBatchId(): string {
  return `batch_${randomBytes(ID_BYTES).toString("hex")}`;
}

export function isFileId(text: string): boolean {
  return FILE_ID.test(text);
}

export function isBatchId(text: string): boolean {
  return BATCH_ID.test(text);
}

/** The request id of a line, every time it is tried. */
export function lineRequestId(batchId: string, line: number): string {
  return `${batchId}-${line}`;
}

/** The UUID under which a line's answer is billed: the ledger keeps each id once. */
export function lineBillId(batchId: string, line: number): string {
  const digest = createHash("sha256").update(lineRequestId(batchId, line)).digest("hex");
  const [a, b, c, d, e] = [
    [0, 8],
    [8, 12],
    [13, 16],
    [17, 20],
    [20, 32],
  ].map(([from, to]) => digest.slice(from, to));
  // Version 8 is whatever its maker says (RFC 9562, 5.8).
  return `${a}-${b}-8${c}-8${d}-${e}`;
}
