import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { z } from "zod";
import type { BatchProblem } from "./batch-store.ts";

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const BYTE_ORDER_MARK = Buffer.from("\uFEFF");
const SPACES = new Set(Buffer.from(" \t\r"));
const MISSING = "is missing";
/** More are of no use to whoever mends the file. */
export const MAX_PROBLEMS = 100;

/** One line of an input file. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without its end; undefined for one that is longer than permitted. */
  readonly bytes: Buffer | undefined;
}

/** Cuts a stream of bytes into lines, blank ones left out. Holds at most one line of the permitted length. */
export async function* toLines(source: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  const line = new LineBuffer(maxBytes);
  let number = 1;
  for await (const piece of source) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, start)) {
      line.push(piece.subarray(start, end));
      if (!line.isBlank) yield { number, bytes: line.take(number === 1) };
      line.clear();
      number += 1;
      start = end + 1;
    }
    line.push(piece.subarray(start));
  }
  if (!line.isBlank) yield { number, bytes: line.take(number === 1) };
}

class LineBuffer {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isBlank(): boolean {
    const isSpace = (byte: number) => SPACES.has(byte);
    return this.#length <= this.#maxBytes && this.#parts.every((part) => part.every(isSpace));
  }

  push(piece: Buffer): void {
    this.#length += piece.length;
    // Of a line that is too long nothing is kept.
    if (this.#length > this.#maxBytes) this.#parts = [];
    else this.#parts.push(piece);
  }

  take(isFirst: boolean): Buffer | undefined {
    if (this.#length > this.#maxBytes) return undefined;
    let bytes = Buffer.concat(this.#parts);
    if (isFirst && bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK))
      bytes = bytes.subarray(BYTE_ORDER_MARK.length);
    return bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes;
  }

  clear(): void {
    this.#parts = [];
    this.#length = 0;
  }
}

const MAX_CUSTOM_ID_LENGTH = 512;
// Far beyond any request that makes sense, and far below what cannot be written any more.
const MAX_DEPTH = 200;
const QUOTE = 34;
const BACKSLASH = 92;
const OPENING = new Set(Buffer.from("[{"));
const CLOSING = new Set(Buffer.from("]}"));

/** How deep lists and objects are nested in a JSON text. */
function depthOf(json: Buffer): number {
  let depth = 0;
  let most = 0;
  let isText = false;
  for (let index = 0; index < json.length; index += 1) {
    const byte = json[index] ?? 0;
    if (isText && byte === BACKSLASH) index += 1;
    else if (byte === QUOTE) isText = !isText;
    else if (!isText && OPENING.has(byte)) depth += 1;
    else if (!isText && CLOSING.has(byte)) depth -= 1;
    if (depth > most) most = depth;
  }
  return most;
}

/** What a line asks for. */
export const lineRequest = z.object({
  custom_id: z
    .string({ error: missingOr("must be a string") })
    .min(1, "must not be empty")
    .max(MAX_CUSTOM_ID_LENGTH, `must be at most ${MAX_CUSTOM_ID_LENGTH} characters`),
  method: z.string({ error: missingOr("must be a string") }),
  url: z.string({ error: missingOr("must be a string") }),
  body: z.looseObject({}, { error: missingOr("must be an object") }),
});

function missingOr(otherwise: string) {
  return ({ input }: { readonly input?: unknown }) => (input === undefined ? MISSING : otherwise);
}

export type LineRequest = z.infer<typeof lineRequest>;

/** Reads a line that was checked when it was taken up. */
export function readLine(bytes: Buffer): LineRequest {
  return lineRequest.parse(JSON.parse(bytes.toString()));
}

/** Checks the lines of one input file, one after another. */
export class LineChecker {
  readonly problems: BatchProblem[] = [];
  /** Good lines so far. */
  count = 0;
  readonly #endpoint: string;
  readonly #maxLines: number;
  readonly #seen = new Set<string>();

  constructor(endpoint: string, maxLines: number) {
    this.#endpoint = endpoint;
    this.#maxLines = maxLines;
  }

  /** Whether there is no point in reading on. */
  get isFull(): boolean {
    return this.problems.length >= MAX_PROBLEMS || this.count > this.#maxLines;
  }

  /** Whether the line is good; if not, its problem is noted. */
  check({ number, bytes }: Line): boolean {
    const problem = bytes === undefined ? tooLong(number) : this.#problemOf(bytes, number);
    if (problem) {
      this.problems.push(problem);
      return false;
    }
    this.count += 1;
    return true;
  }

  /** Notes what only the whole file tells. */
  end(): void {
    if (this.count === 0 && this.problems.length === 0)
      this.problems.push({ code: "empty_file", message: "The input file holds no request.", ...NOWHERE });
    if (this.count > this.#maxLines) {
      const message = `A batch may hold at most ${this.#maxLines} requests.`;
      this.problems.push({ code: "too_many_requests", message, ...NOWHERE });
    }
  }

  #problemOf(bytes: Buffer, line: number): BatchProblem | undefined {
    if (depthOf(bytes) > MAX_DEPTH) {
      return { code: "invalid_json_line", message: "The line is nested too deeply.", param: null, line };
    }
    const parsed = lineRequest.safeParse(parse(bytes));
    if (!parsed.success) return invalid(parsed.error, line);
    const { custom_id, method, url, body } = parsed.data;
    if (method !== "POST") {
      return { code: "invalid_method", message: "The 'method' must be 'POST'.", param: "method", line };
    }
    if (url !== this.#endpoint) {
      const message = `The 'url' must be '${this.#endpoint}', the endpoint of the batch.`;
      return { code: "mismatched_url", message, param: "url", line };
    }
    if (body.stream === true) {
      const message = "A request of a batch cannot be streamed.";
      return { code: "stream_unsupported", message, param: "body.stream", line };
    }
    // Ids are the client's own and may be long: 16 bytes tell them apart as well.
    const id = createHash("sha256").update(custom_id).digest("base64").slice(0, 22);
    if (this.#seen.has(id)) {
      const message = "The 'custom_id' is that of a line before.";
      return { code: "duplicate_custom_id", message, param: "custom_id", line };
    }
    this.#seen.add(id);
    return undefined;
  }
}

const NOWHERE = { param: null, line: null } as const;

function parse(bytes: Buffer): unknown {
  try {
    return isUtf8(bytes) ? JSON.parse(bytes.toString()) : undefined;
  } catch {
    return undefined;
  }
}

function tooLong(line: number): BatchProblem {
  return { code: "line_too_long", message: "The line is too long.", param: null, line };
}

function invalid({ issues }: z.ZodError, line: number): BatchProblem {
  const [issue] = issues;
  if (!issue || issue.path.length === 0) {
    return { code: "invalid_json_line", message: "The line is no JSON object.", param: null, line };
  }
  const param = issue.path.join(".");
  const code = issue.message === MISSING ? "missing_required_parameter" : "invalid_parameter";
  return { code, message: `'${param}' ${issue.message}.`, param, line };
}

/** How one request of a batch ended. */
export interface LineResult {
  /** Undefined where what was stored of the request cannot be read any more. */
  readonly customId: string | undefined;
  /** Undefined where it was never answered. */
  readonly response:
    | { readonly status: number; readonly requestId: string; readonly body: string }
    | undefined;
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

/** A line of an output or error file, in OpenAI's format. `id` is the same however often the line was tried. */
export function toResultLine(id: string, { customId, response, error }: LineResult): Buffer {
  const head = `{"id":${JSON.stringify(id)},"custom_id":${JSON.stringify(customId ?? null)}`;
  const answer = response
    ? `{"status_code":${response.status},"request_id":${JSON.stringify(response.requestId)},"body":${toOneLine(response.body)}}`
    : "null";
  return Buffer.from(`${head},"response":${answer},"error":${error ? JSON.stringify(error) : "null"}}\n`);
}

/** The body goes through as it is: numbers and unknown fields stay what they were. In JSON, line breaks are spaces. */
function toOneLine(json: string): string {
  return json.replaceAll(/[\r\n]+/g, " ");
}
