/** An answer of the router itself, in OpenAI's shape. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string;
}

function refusal(status: number, error: Record<"message" | "type" | "code", string>, headers = {}): Refusal {
  const { message, type, code } = error;
  const body = JSON.stringify({ error: { message, type, param: null, code } });
  const own = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return { status, headers: { ...own, ...headers }, body };
}

export const UNAVAILABLE = refusal(
  503,
  {
    message: "The service is unavailable. Try again shortly.",
    type: "server_error",
    code: "service_unavailable",
  },
  { "retry-after": "1" },
);
export const BAD_REQUEST = refusal(400, {
  message: "The request is not valid.",
  type: "invalid_request_error",
  code: "invalid_request",
});
export const HEADERS_TOO_LARGE = refusal(431, {
  message: "The request's headers or its URL are too long.",
  type: "invalid_request_error",
  code: "headers_too_large",
});
export const TOO_SLOW = refusal(408, {
  message: "The request did not arrive in time.",
  type: "invalid_request_error",
  code: "request_timeout",
});
