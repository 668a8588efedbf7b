import type { IncomingHttpHeaders } from "node:http";
import { ApiError } from "../api/errors.ts";
import type { FailedOutcome, FailureReason, Retry } from "./failure.ts";

/** What a status means; without `failure` the request is at fault, and nothing else would answer it better. */
export type Outcome = FailedOutcome | { readonly error: ApiError; readonly failure: undefined };

const MAX_MESSAGE_LENGTH = 500;
const MAX_RETRY_AFTER_SECONDS = 60;
// A URL, an address, a path with two parts, a stack or several lines have no business with a client.
const UNSAFE = /:\/\/|\d{1,3}(\.\d{1,3}){3}|localhost|[\\/][\w.-]+[\\/]|\.py\b|Traceback|[\n\r]/i;
// What an operator would change on the engine: its environment and its flags.
const SETTING = /\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|environment variable|(^|\s)--[a-z]/;
// vLLM's own notation; the field goes into the error's `param`. What the value holds may be long or odd.
const NOTATION = /\s*\(parameter=.*$/s;
const EXPLAINED: ReadonlySet<unknown> = new Set(["BadRequestError", "invalid_request_error"]);
const PARAM = /^[\w.[\]-]{1,100}$/;

// What providers call an account that has nothing left to spend: waiting does not help.
const SPENT = /"(?:insufficient_quota|credit_balance_exhausted|enforced_spend_limit_reached)"/;

/**
 * The one table from a backend's status to the catalogue.
 * 400, 422: the request is at fault; 404: the model is gone; 413: too large; 429, 503, 529: no room, with the backend's
 * Retry-After; 504: too late; all others, also 401 and 403, which are about the gateway's own key: a server error. What
 * is a server's own error is tried again anywhere, everything else only at another backend.
 */
export function toOutcome(status: number, headers: IncomingHttpHeaders, body: Buffer): Outcome {
  switch (status) {
    case 400:
    case 422:
      return { error: new ApiError("invalid_request", safeDetail(body)), failure: undefined };
    case 404:
      return { error: new ApiError("model_not_found", { param: "model" }), failure: undefined };
    case 413:
      return { error: new ApiError("request_too_large"), failure: undefined };
    case 429:
    case 503:
    case 529:
      return overloaded(headers, status === 429 && SPENT.test(body.toString("latin1")));
    case 504:
      return failed(new ApiError("timeout"), "timeout", "anywhere");
    default:
      return failed(new ApiError("server_error"), "status", status >= 500 ? "anywhere" : "elsewhere");
  }
}

function failed(error: ApiError, failure: FailureReason, retry: Retry): FailedOutcome {
  return { error, failure, retry, retryAfterMs: 0 };
}

function overloaded(headers: IncomingHttpHeaders, spent: boolean): FailedOutcome {
  const seconds = secondsOf(headers["retry-after"]);
  const told = Math.min(seconds ?? 1, MAX_RETRY_AFTER_SECONDS);
  const error = new ApiError("model_overloaded", { retryAfterSeconds: told });
  const retry = spent ? "elsewhere" : "anywhere";
  return { error, failure: "overloaded", retry, retryAfterMs: (seconds ?? 0) * 1000 };
}

/** Of a Retry-After, in seconds or as a date. */
function secondsOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

// What is wrong with a request is explained in vLLM's BadRequestErrors and OpenAI's invalid_request_errors; nothing else
// that a backend says is meant for clients.
function safeDetail(body: Buffer): { message?: string; param?: string } {
  const error = readError(body);
  if (!EXPLAINED.has(error?.type) || typeof error?.message !== "string") return {};
  const message = error.message.replace(NOTATION, "");
  if (message === "" || message.length > MAX_MESSAGE_LENGTH) return {};
  if (UNSAFE.test(message) || SETTING.test(message)) return {};
  const param = typeof error.param === "string" && PARAM.test(error.param) ? error.param : undefined;
  return param === undefined ? { message } : { message, param };
}

function readError(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString());
    if (typeof value !== "object" || value === null || !("error" in value)) return undefined;
    return typeof value.error === "object" && value.error !== null ? { ...value.error } : undefined;
  } catch {
    return undefined;
  }
}
