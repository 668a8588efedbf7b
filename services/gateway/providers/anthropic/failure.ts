import type { APIError } from "@anthropic-ai/sdk";
import { classify, UpstreamFailure } from "../../upstream/failure.ts";

// The statuses that go with the names of errors, which inside a stream come alone.
const STATUSES: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

/** An error of the API as a backend that speaks OpenAI's would tell it. */
export interface ToldError {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

export function toToldError({ status, type, apiMessage, headers, errorCode }: APIError): ToldError {
  const known = status ?? (type !== null ? STATUSES[type] : undefined) ?? 500;
  const code = errorCode ?? known;
  const error = { message: apiMessage ?? "", type: type ?? "api_error", param: null, code };
  return {
    status: known,
    retryAfter: headers?.get("retry-after") ?? undefined,
    body: JSON.stringify({ error }),
  };
}

/** What a failure below the API means: the HTTP client's own error is at the end of the chain of causes. */
export function toFailure(error: unknown): UpstreamFailure {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof UpstreamFailure) return cause;
    const code = "code" in cause ? cause.code : undefined;
    if (typeof code === "string") return classify(cause);
  }
  return new UpstreamFailure("protocol", error instanceof Error ? error.name : "unknown");
}
