import { CHUNK_BYTES } from "../content/chunks.ts";
import type { ChunkPlace, Envelope, ObjectKey } from "../content/envelope.ts";
import { ContentError } from "../content/key-wrapper.ts";
import type { BatchProblem } from "./batch-store.ts";
import type { FileStore, OpenFile } from "./file-store.ts";
import { toFailedLine } from "./line-runner.ts";
import { LineChecker, type LineRequest, readLine, toLines } from "./lines.ts";
import type { BatchesSettings } from "./settings.ts";
import type { BatchWork, FinishedLine, Outcome, WorkStore } from "./work-store.ts";

const LINES_PER_STATEMENT = 256;
// Answers may be large: few of them are in memory at a time.
const LINES_PER_READ = 8;
const SECONDS_PER_DAY = 86_400;
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** Why lines were not run, by how their batch ended; codes as OpenAI's. */
const NOT_RUN: Readonly<Record<Outcome, readonly [code: string, message: string]>> = {
  expired: ["batch_expired", "This request could not be executed before the completion window expired."],
  cancelled: ["batch_cancelled", "The batch was cancelled before this request executed."],
  failed: ["batch_failed", "The batch failed before this request executed."],
  completed: ["server_error", "This request was not executed."],
};

/** Why a line has no answer of which something stored cannot be read; code and message. */
export const DAMAGED = ["server_error", "What was stored of this request is damaged."] as const;

export interface JobTools {
  readonly work: WorkStore;
  readonly files: FileStore;
  readonly envelope: Envelope;
  readonly settings: BatchesSettings;
  /** When the gateway ends and there is no time left: what is not done is left to others. */
  readonly signal: AbortSignal;
}

/** Where a line's request stands among what is encrypted for its batch. */
function requestPlace(number: number): ChunkPlace {
  return { number: number * 2, last: false };
}

/** Where a line's result stands. */
export function resultPlace(number: number): ChunkPlace {
  return { number: number * 2 + 1, last: false };
}

export function keyOf(batch: BatchWork, envelope: Envelope): Promise<ObjectKey> {
  return envelope.open(batch.wrapped, { tenant: batch.tenant, object: batch.id });
}

/** Checks a batch's input and lets its lines run, or ends it with what is wrong. */
export async function checkInput(batch: BatchWork, tools: JobTools): Promise<void> {
  const { work, files } = tools;
  const input = await files.find(batch.tenant, batch.inputFileId);
  if (!input) return work.refuse(batch.id, [problem("input_file_not_found", "The input file is gone.")]);
  try {
    const checker = await takeUp(batch, tools);
    if (!checker) return await work.releaseBatch(batch.id);
    checker.end();
    if (checker.problems.length > 0) await work.refuse(batch.id, checker.problems);
    else await work.start(batch.id, checker.count);
  } catch (error) {
    if (!(error instanceof ContentError) || error.reason === "unknown_key") throw error;
    await work.refuse(batch.id, [problem("unreadable_file", "The input file cannot be read.")]);
    throw error;
  }
}

/** Stores every good line encrypted. Undefined when the batch is no longer this worker's to check. */
async function takeUp(batch: BatchWork, tools: JobTools): Promise<LineChecker | undefined> {
  const { work, files, envelope, settings, signal } = tools;
  const key = await keyOf(batch, envelope);
  const checker = new LineChecker(batch.endpoint, settings.maxLines);
  let lines: { number: number; request: Buffer }[] = [];
  let bytes = 0;
  const flush = async () => {
    if (lines.length > 0) await work.addLines(batch.id, lines);
    lines = [];
    bytes = 0;
    return work.keepBatch(batch, settings.leaseSeconds);
  };
  for await (const line of toLines(files.read(batch.tenant, batch.inputFileId), settings.maxLineBytes)) {
    if (signal.aborted) return undefined;
    const isGood = checker.check(line);
    if (checker.isFull) break;
    if (!isGood || !line.bytes || checker.problems.length > 0) continue;
    const request = key.seal(line.bytes, requestPlace(line.number));
    lines.push({ number: line.number, request });
    bytes += request.length;
    const isEnough = lines.length >= LINES_PER_STATEMENT || bytes >= CHUNK_BYTES;
    if (isEnough && !(await flush())) return undefined;
  }
  return (await flush()) ? checker : undefined;
}

function problem(code: string, message: string): BatchProblem {
  return { code, message, param: null, line: null };
}

/** Writes the results of a batch that has ended into its files. */
export async function writeResults(batch: BatchWork, tools: JobTools): Promise<void> {
  const { work, settings } = tools;
  const open: OpenFile[] = [];
  const counted = { failed: 0 };
  try {
    const key = await keyOf(batch, tools.envelope);
    const lines = (failed: boolean) => resultLines(batch, { ...tools, key, failed });
    const output = await writeFile(batch, { tools, open, name: "output", source: lines(false) });
    const errors = await writeFile(batch, {
      tools,
      open,
      name: "error",
      source: tally(lines(true), counted),
    });
    const keepSeconds = batch.outputSeconds ?? settings.fileRetentionDays * SECONDS_PER_DAY;
    const files = { output, errors, failed: counted.failed, keepSeconds };
    if (!(await work.finish(batch.id, files))) throw new LeaseLost();
  } catch (error) {
    // Nobody sees what was written so far; who takes the batch up writes it anew.
    for (const file of open) await tools.files.abandon(file).catch(() => undefined);
    if (!(error instanceof LeaseLost)) throw error;
  }
}

/** Another worker has taken the batch up, or shall. */
class LeaseLost extends Error {}

async function* tally(lines: AsyncIterable<Buffer>, counted: { failed: number }): AsyncGenerator<Buffer> {
  for await (const line of lines) {
    counted.failed += 1;
    yield line;
  }
}

interface Writing {
  readonly tools: JobTools;
  /** Takes what was begun. */
  readonly open: OpenFile[];
  readonly name: "output" | "error";
  readonly source: AsyncGenerator<Buffer>;
}

/** The id of the file; undefined where there is nothing to write. */
async function writeFile(
  batch: BatchWork,
  { tools, open, name, source }: Writing,
): Promise<string | undefined> {
  const first = await source.next();
  if (first.done) return undefined;
  const author = { tenant: batch.tenant, project: batch.project, keyId: batch.keyId };
  const filename = `${batch.id}_${name}.jsonl`;
  const file = await tools.files.begin({ author, purpose: "batch_output", filename });
  open.push(file);
  await tools.files.write(file, prepend(first.value, source), UNBOUNDED);
  return file.id;
}

async function* prepend(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

interface Reading extends JobTools {
  readonly key: ObjectKey;
  readonly failed: boolean;
}

async function* resultLines(batch: BatchWork, reading: Reading): AsyncGenerator<Buffer> {
  // A batch that ended before it was checked has no lines that anybody was told of.
  if (batch.total === 0) return;
  const { work, settings, failed, signal } = reading;
  let after = 0;
  for (;;) {
    if (signal.aborted) throw new LeaseLost();
    const lines = await work.readLines(batch.id, { failed, after, limit: LINES_PER_READ });
    for (const line of lines) yield toResult(batch, line, reading.key);
    const last = lines.at(-1);
    if (!last) return;
    after = last.number;
    if (!(await work.keepBatch(batch, settings.leaseSeconds))) throw new LeaseLost();
  }
}

function toResult(batch: BatchWork, { number, request, response }: FinishedLine, key: ObjectKey): Buffer {
  const result = response && unlessDamaged(() => key.open(response, resultPlace(number)));
  if (result) return result;
  const line = openRequest(key, { number, request });
  const [code, message] = response || !line ? DAMAGED : NOT_RUN[batch.outcome ?? "failed"];
  return toFailedLine({ request: line, batchId: batch.id, number }, code, message);
}

/** A line's request; undefined where what was stored of it is damaged. */
export function openRequest(
  key: ObjectKey,
  { number, request }: Pick<FinishedLine, "number" | "request">,
): LineRequest | undefined {
  return unlessDamaged(() => readLine(key.open(request, requestPlace(number))));
}

// One line that cannot be read must not keep the others from their answers.
function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ContentError && error.reason === "corrupt") return undefined;
    throw error;
  }
}
