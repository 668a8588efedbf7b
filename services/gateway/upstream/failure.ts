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

/** Where the request may be tried again: at any backend, at any but this one, or nowhere. */
export type Retry = "anywhere" | "elsewhere" | "nowhere";

/** An attempt that failed. Its message is for the log only. */
export class UpstreamFailure extends Error {
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string) {
    super(message);
    this.reason = reason;
  }

  /** A backend that answers nonsense would do so again; nobody waits for what was cancelled. */
  get retry(): Retry {
    if (this.reason === "cancelled") return "nowhere";
    return this.reason === "protocol" ? "elsewhere" : "anywhere";
  }

  /** Milliseconds that the backend asked to be left alone for; 0 where it did not. */
  get retryAfterMs(): number {
    return 0;
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

/** A backend's own error: counted by its reason, answered and tried again as the status table says. */
export class BackendError extends UpstreamFailure {
  readonly #outcome: FailedOutcome;

  constructor(outcome: FailedOutcome, message: string) {
    super(outcome.failure, message);
    this.#outcome = outcome;
  }

  override get retry(): Retry {
    return this.#outcome.retry;
  }

  override get retryAfterMs(): number {
    return this.#outcome.retryAfterMs;
  }

  override toApiError(): ApiError {
    return this.#outcome.error;
  }
}

/** What a backend's error status means for the client, the metrics and further tries. */
export interface FailedOutcome {
  readonly error: ApiError;
  readonly failure: FailureReason;
  readonly retry: Retry;
  readonly retryAfterMs: number;
}

/** No backend of a model may be asked now: their breakers are open. */
export class Unavailable extends UpstreamFailure {
  readonly #waitMs: number;

  /** @param waitMs milliseconds until one may be asked again */
  constructor(waitMs: number) {
    super("refused", "every breaker is open");
    this.#waitMs = waitMs;
  }

  override get retry(): Retry {
    return "nowhere";
  }

  override toApiError(): ApiError {
    return new ApiError("model_overloaded", {
      retryAfterSeconds: Math.max(1, Math.ceil(this.#waitMs / 1000)),
    });
  }
}

/** The stream has lasted as long as any may. Says nothing about the backend. */
export class StreamTooLong extends UpstreamFailure {
  constructor() {
    super("timeout", "the stream lasted too long");
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
