import { lineRequestId } from "./ids.ts";
import { AnswerTooLarge, type InternalAnswer, type InternalRequest } from "./internal-call.ts";
import { type LineRequest, toResultLine } from "./lines.ts";

// Of failures that may pass; waiting for room counts for nothing.
const MAX_ATTEMPTS = 3;
const BASE_BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 60;
const MAY_PASS = new Set([500, 502, 504]);

/** What became of one attempt at a line. */
export type LineOutcome =
  /** It is answered, well or not: the line of the output or error file. */
  | { readonly kind: "done"; readonly failed: boolean; readonly line: Buffer }
  /** It shall be tried again after some time; `all`: so shall all lines of its batch. */
  | { readonly kind: "wait"; readonly seconds: number; readonly all: boolean; readonly tried: boolean }
  /** Nobody waits for it any more, or the gateway ends. */
  | { readonly kind: "aborted" };

export interface LineAttempt {
  readonly batchId: string;
  readonly number: number;
  readonly request: LineRequest;
  /** Attempts before. */
  readonly attempts: number;
}

type Call = (request: Pick<InternalRequest, "path" | "requestId" | "body">) => Promise<InternalAnswer>;

/** Makes one attempt at a line. */
export async function runLine(attempt: LineAttempt, call: Call, signal: AbortSignal): Promise<LineOutcome> {
  const { request, batchId, number } = attempt;
  const requestId = lineRequestId(batchId, number);
  try {
    const answer = await call({ path: request.url, requestId, body: JSON.stringify(request.body) });
    return decide(attempt, answer);
  } catch (error) {
    if (signal.aborted) return { kind: "aborted" };
    if (error instanceof AnswerTooLarge)
      return failed(attempt, "answer_too_large", "The answer is too large.");
    // The connection was cut: the gateway is ending what still runs.
    return { kind: "wait", seconds: 0, all: false, tried: false };
  }
}

function decide(attempt: LineAttempt, answer: InternalAnswer): LineOutcome {
  const { status, retryAfterSeconds = 1 } = answer;
  if (status === 429) {
    const seconds = Math.min(Math.max(retryAfterSeconds, BASE_BACKOFF_SECONDS), MAX_BACKOFF_SECONDS);
    return { kind: "wait", seconds, all: true, tried: false };
  }
  if (status === 503) {
    const seconds = Math.max(retryAfterSeconds, backoffSeconds(MAX_ATTEMPTS));
    return { kind: "wait", seconds, all: false, tried: false };
  }
  if (MAY_PASS.has(status) && attempt.attempts + 1 < MAX_ATTEMPTS) {
    return { kind: "wait", seconds: backoffSeconds(attempt.attempts), all: false, tried: true };
  }
  return answered(attempt, answer);
}

function answered({ request, batchId, number }: LineAttempt, { status, body }: InternalAnswer): LineOutcome {
  const requestId = lineRequestId(batchId, number);
  const response = { status, requestId, body: isJson(body) ? body : JSON.stringify(body) };
  const line = toResultLine(resultId(batchId, number), {
    customId: request.custom_id,
    response,
    error: undefined,
  });
  return { kind: "done", failed: status !== 200, line };
}

function failed(attempt: LineAttempt, code: string, message: string): LineOutcome {
  return { kind: "done", failed: true, line: toFailedLine(attempt, code, message) };
}

export interface FailedLine {
  readonly batchId: string;
  readonly number: number;
  /** Undefined where the request cannot be read any more. */
  readonly request: Pick<LineRequest, "custom_id"> | undefined;
}

/** The line of the error file for one that has no answer. */
export function toFailedLine(
  { request, batchId, number }: FailedLine,
  code: string,
  message: string,
): Buffer {
  const result = { customId: request?.custom_id, response: undefined, error: { code, message } };
  return toResultLine(resultId(batchId, number), result);
}

function resultId(batchId: string, number: number): string {
  return `batch_req_${batchId.replace("batch_", "")}${number}`;
}

/** Doubles with each attempt, and with it the spread of those that would all come back at once. */
function backoffSeconds(attempts: number): number {
  const limit = Math.min(BASE_BACKOFF_SECONDS * 2 ** attempts, MAX_BACKOFF_SECONDS);
  return limit * (0.5 + Math.random() / 2);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
