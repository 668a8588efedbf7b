/** An answer other than 2xx, in the shape of vLLM's error body. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly param: string | null;

  constructor(status: number, type: string, detail: { message: string; param?: string | null }) {
    super(detail.message);
    this.status = status;
    this.type = type;
    this.param = detail.param ?? null;
  }

  get body() {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.status } };
  }
}

/** A float as Python prints it. */
export function pythonFloat(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function pythonText(text: string): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return text.includes("'") && !text.includes('"') ? `"${escaped}"` : `'${escaped.replaceAll("'", "\\'")}'`;
}

/** What vLLM's validation reports about one field. */
export interface FieldProblem {
  readonly type: string;
  /** Path with dots, such as body.messages.0.role. */
  readonly loc: string;
  readonly msg: string;
  readonly input: unknown;
  readonly ctx?: Readonly<Record<string, string | number>>;
}

function describeInput(input: unknown): string {
  if (input === null || input === undefined) return "None";
  if (Array.isArray(input)) return `<list of ${input.length} items>`;
  if (typeof input === "object") return `<dict of ${Object.keys(input).length} items>`;
  if (typeof input === "boolean") return input ? "True" : "False";
  return String(input);
}

function describeProblem({ type, loc, msg, input, ctx }: FieldProblem): string {
  const parts = Object.entries({ type, loc, msg, input: describeInput(input) }).map(
    ([name, value]) => `'${name}': ${pythonText(value)}`,
  );
  if (ctx) {
    const details = Object.entries(ctx).map(
      ([name, value]) => `'${name}': ${typeof value === "number" ? value : pythonText(value)}`,
    );
    parts.push(`'ctx': {${details.join(", ")}}`);
  }
  return `  {${parts.join(", ")}}`;
}

const MAX_REPORTED = 10;

function validationError(count: number, lines: readonly string[], param: string | null): ApiError {
  const heading = count === 1 ? "1 validation error:" : `${count} validation errors:`;
  return new ApiError(400, "Bad Request", { message: [heading, ...lines].join("\n"), param });
}

/** The body's fields have the wrong shape. */
export function invalidFields(problems: readonly FieldProblem[]): ApiError {
  const lines = problems.slice(0, MAX_REPORTED).map(describeProblem);
  if (problems.length > MAX_REPORTED) lines.push(`  ...and ${problems.length - MAX_REPORTED} more errors`);
  return validationError(problems.length, lines, problems[0]?.loc ?? null);
}

export function unsupportedMediaType(): ApiError {
  return validationError(1, ["  Unsupported Media Type: Only 'application/json' is allowed"], null);
}

/** A field's value cannot be served; `value` is printed where given. */
export function badParameter(message: string, param: string, value?: string): ApiError {
  const suffix = value === undefined ? `(parameter=${param})` : `(parameter=${param}, value=${value})`;
  return new ApiError(400, "BadRequestError", { message: `${message} ${suffix}`, param });
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequestError", { message });
}

export function notFound(message: string, param: string | null = null): ApiError {
  return new ApiError(404, "NotFoundError", { message, param });
}

export function overloaded(): ApiError {
  const message =
    "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.";
  return new ApiError(503, "Service Unavailable", { message });
}

export function shuttingDown(): ApiError {
  return new ApiError(500, "InternalServerError", { message: "cannot schedule new futures after shutdown" });
}

export function engineDead(): ApiError {
  const message = "EngineCore encountered an issue. See stack trace (above) for the root cause.";
  return new ApiError(500, "InternalServerError", { message });
}

export function tooLarge(): ApiError {
  return new ApiError(413, "Request Entity Too Large", { message: "The request body is too large" });
}

export function simulatedFault(status: number): ApiError {
  const type = status >= 500 ? "InternalServerError" : "BadRequestError";
  return new ApiError(status, type, { message: "Simulated fault" });
}

export function unexpected(): ApiError {
  return new ApiError(500, "InternalServerError", { message: "Internal server error" });
}
