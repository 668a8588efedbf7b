import { ApiError } from "../api/errors.ts";

/** Why an attempt at a replica gave no answer; the values of the metric's label `reason`. */
export type FailureReason =
  | "refused"
  | "reset"
  | "timeout"
  | "overloaded"
  | "status"
  | "protocol"
  | "incomplete"
  | "cancelled";

/** An attempt that failed. Its message is for the log only. */
export class UpstreamFailure extends Error {
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string) {
    super(message);
    this.reason = reason;
  }

  /** What the client is told. */
  toApiError(): ApiError {
    if (this.reason === "refused" || this.reason === "cancelled") return new ApiError("model_overloaded");
    if (this.reason === "timeout") return new ApiError("timeout");
    return new ApiError("server_error");
  }
}

/** Nobody failed: the client has left before its answer was complete. */
export class ClientLeft extends UpstreamFailure {
  constructor() {
    super("cancelled", "the client has left");
  }
}

const REFUSED = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const RESET = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);

/** What an error of the HTTP client means. */
export function classify(error: Error): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  const code = "code" in error ? String(error.code) : "";
  if (REFUSED.has(code)) return new UpstreamFailure("refused", code);
  if (RESET.has(code)) return new UpstreamFailure("reset", code);
  return new UpstreamFailure("protocol", `${error.name} ${code}`);
}
