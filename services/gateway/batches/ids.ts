import { randomBytes } from "node:crypto";

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

/** The id under which a line of a batch is run and billed, every time it is tried. */
export function lineRequestId(batchId: string, line: number): string {
  return `${batchId}-${line}`;
}
