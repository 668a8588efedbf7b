// The only errors that clients see. Shape and meaning follow OpenAI's API, so that its SDKs raise the right class.

interface CatalogueEntry {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly message: string;
  /** False where a repetition would cost the same again and end the same way; absent lets the client's SDK decide. */
  readonly retry?: false;
}

/** Every error by name. A wrong content type is `invalid_request`, as at OpenAI and vLLM, not a 415. */
export const CATALOGUE = {
  invalid_request: {
    status: 400,
    type: "invalid_request_error",
    code: "invalid_request",
    message: "The request is invalid.",
  },
  // OpenAI says 429, on which clients would try again in vain: no waiting helps.
  tokens_exceeded: {
    status: 400,
    type: "invalid_request_error",
    code: "tokens_exceeded",
    message: "The request takes more tokens than may be used in a minute.",
  },
  authentication_error: {
    status: 401,
    type: "authentication_error",
    code: "invalid_api_key",
    message: "No valid API key was given. Send one as 'Authorization: Bearer <key>'.",
  },
  permission: {
    status: 403,
    type: "permission_error",
    code: "permission_denied",
    message: "The API key does not permit this.",
  },
  model_not_found: {
    status: 404,
    type: "invalid_request_error",
    code: "model_not_found",
    message: "The model does not exist or you do not have access to it.",
  },
  not_found: {
    status: 404,
    type: "invalid_request_error",
    code: "not_found",
    message: "There is nothing at this path.",
  },
  method_not_allowed: {
    status: 405,
    type: "invalid_request_error",
    code: "method_not_allowed",
    message: "This path does not allow this method.",
  },
  conflict: {
    status: 409,
    type: "invalid_request_error",
    code: "conflict",
    message: "This was changed or made by somebody else meanwhile. Read it again.",
    retry: false,
  },
  request_too_large: {
    status: 413,
    type: "invalid_request_error",
    code: "request_too_large",
    message: "The request's body is too large.",
  },
  headers_too_large: {
    status: 431,
    type: "invalid_request_error",
    code: "headers_too_large",
    message: "The request's headers or its URL are too long.",
  },
  rate_limit_exceeded: {
    status: 429,
    type: "rate_limit_error",
    code: "rate_limit_exceeded",
    message: "Too many requests. Try again later.",
  },
  // OpenAI's code for spent money, on which clients give up; x-should-retry says so to its SDKs.
  budget_exceeded: {
    status: 429,
    type: "insufficient_quota",
    code: "insufficient_quota",
    message: "The budget for this period is used up.",
    retry: false,
  },
  server_error: {
    status: 500,
    type: "server_error",
    code: "server_error",
    message: "The server had an error while processing the request.",
  },
  model_overloaded: {
    status: 503,
    type: "server_error",
    code: "model_overloaded",
    message: "The model is overloaded or not available at the moment. Try again later.",
  },
  unavailable: {
    status: 503,
    type: "server_error",
    code: "unavailable",
    message: "This is not available at the moment. Try again later.",
  },
  timeout: {
    status: 504,
    type: "server_error",
    code: "timeout",
    message: "The model did not answer in time.",
    retry: false,
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorName = keyof typeof CATALOGUE;

export interface ErrorDetail {
  /** Replaces the catalogue's message; must be safe to show to any client. */
  readonly message?: string;
  /** The request's field that is at fault, as a dotted path. */
  readonly param?: string;
  /** The methods that the path allows instead (405). */
  readonly allow?: string;
  /** Seconds after which a repetition may succeed (429, 503). @default 1 */
  readonly retryAfterSeconds?: number;
}

/** An error of the catalogue; everything it holds may be shown to the client. */
export class ApiError extends Error {
  readonly errorName: ErrorName;
  readonly detail: ErrorDetail;

  constructor(errorName: ErrorName, detail: ErrorDetail = {}) {
    super(detail.message ?? CATALOGUE[errorName].message);
    this.errorName = errorName;
    this.detail = detail;
  }

  get status(): number {
    return CATALOGUE[this.errorName].status;
  }

  /** The answer's body, also the payload of the event that ends a failed stream. */
  toBody(): string {
    const { type, code } = CATALOGUE[this.errorName];
    return JSON.stringify({
      error: { message: this.message, type, param: this.detail.param ?? null, code },
    });
  }

  /** The headers that go with the status. */
  toHeaders(): Record<string, string> {
    const entry: CatalogueEntry = CATALOGUE[this.errorName];
    const headers: Record<string, string> = {};
    if (entry.status === 401) headers["www-authenticate"] = "Bearer";
    const { retryAfterSeconds = entry.retry === false ? undefined : 1 } = this.detail;
    if ((entry.status === 429 || entry.status === 503) && retryAfterSeconds !== undefined) {
      headers["retry-after"] = String(retryAfterSeconds);
    }
    if (entry.retry === false) headers["x-should-retry"] = "false";
    if (this.detail.allow !== undefined) headers.allow = this.detail.allow;
    return headers;
  }
}
