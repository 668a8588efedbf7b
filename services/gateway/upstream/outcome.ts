import type { IncomingHttpHeaders } from "node:http";
import { ApiError } from "../api/errors.ts";
import type { FailureReason } from "./failure.ts";

/** What the client is told when a replica answers with an error, and what the metrics count (undefined: nothing). */
export interface Outcome {
  readonly error: ApiError;
  readonly failure: FailureReason | undefined;
}

const MAX_MESSAGE_LENGTH = 500;
const MAX_RETRY_AFTER_SECONDS = 60;
// A URL, an address, a path with two parts, a stack or several lines have no business with a client.
const UNSAFE = /:\/\/|\d{1,3}(\.\d{1,3}){3}|localhost|[\\/][\w.-]+[\\/]|\.py\b|Traceback|[\n\r]/i;
// What an operator would change on the engine: its environment and its flags.
const SETTING = /\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|environment variable|(^|\s)--[a-z]/;
// vLLM's own notation; the field goes into the error's `param`. What the value holds may be long or odd.
const NOTATION = /\s*\(parameter=.*$/s;
const PARAM = /^[\w.[\]-]{1,100}$/;

/**
 * The one table from a replica's status to the catalogue.
 * 400, 422: the request is at fault; 404: the model is gone; 413: too large; 429, 503: no room, with the replica's
 * Retry-After; 504: too late; all others, also 401 and 403, which are about the gateway's own key: a server error.
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
      return {
        error: new ApiError("model_overloaded", { retryAfterSeconds: retryAfterSeconds(headers) }),
        failure: "overloaded",
      };
    case 504:
      return { error: new ApiError("timeout"), failure: "timeout" };
    default:
      return { error: new ApiError("server_error"), failure: "status" };
  }
}

function retryAfterSeconds(headers: IncomingHttpHeaders): number {
  const seconds = Number(headers["retry-after"]);
  return Number.isInteger(seconds) && seconds >= 0 ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) : 1;
}

// vLLM explains what is wrong with a request in its BadRequestErrors; nothing else it says is meant for clients.
function safeDetail(body: Buffer): { message?: string; param?: string } {
  const error = readError(body);
  if (error?.type !== "BadRequestError" || typeof error.message !== "string") return {};
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
