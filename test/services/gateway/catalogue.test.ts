import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { ApiError, CATALOGUE, type ErrorName } from "../../../services/gateway/api/errors.ts";
import { errorBody } from "../../../services/gateway/api/schemas.ts";

const NAMES = Object.keys(CATALOGUE) as ErrorName[];

// What clients build on; a change here breaks them.
const STATUSES: Record<ErrorName, number> = {
  invalid_request: 400,
  tokens_exceeded: 400,
  authentication_error: 401,
  permission: 403,
  model_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  request_too_large: 413,
  headers_too_large: 431,
  rate_limit_exceeded: 429,
  budget_exceeded: 429,
  server_error: 500,
  model_overloaded: 503,
  unavailable: 503,
  timeout: 504,
};

const CLASSES: Partial<Record<ErrorName, string>> = {
  invalid_request: "BadRequestError",
  tokens_exceeded: "BadRequestError",
  authentication_error: "AuthenticationError",
  permission: "PermissionDeniedError",
  model_not_found: "NotFoundError",
  not_found: "NotFoundError",
  conflict: "ConflictError",
  rate_limit_exceeded: "RateLimitError",
  budget_exceeded: "RateLimitError",
  server_error: "InternalServerError",
  model_overloaded: "InternalServerError",
  unavailable: "InternalServerError",
  timeout: "InternalServerError",
};

describe.each(NAMES)("%s", (name) => {
  test("has its status and OpenAI's shape, with a code of its own", () => {
    const error = new ApiError(name);
    expect(error.status).toBe(STATUSES[name]);
    const body = errorBody.parse(JSON.parse(error.toBody()));
    expect(body.error).toEqual({
      message: CATALOGUE[name].message,
      type: CATALOGUE[name].type,
      param: null,
      code: CATALOGUE[name].code,
    });
    expect(NAMES.filter((other) => CATALOGUE[other].code === CATALOGUE[name].code)).toEqual([name]);
  });

  test("is raised by the SDK as the class that its users catch", () => {
    const error = new ApiError(name);
    const raised = OpenAI.APIError.generate(
      error.status,
      JSON.parse(error.toBody()),
      undefined,
      new Headers(),
    );
    expect(raised.constructor.name).toBe(CLASSES[name] ?? "APIError");
    expect(raised.code).toBe(CATALOGUE[name].code);
  });
});

test("only errors that pass by themselves say when to come back", () => {
  const waiting = NAMES.filter((name) => "retry-after" in new ApiError(name).toHeaders());
  expect(waiting).toEqual(["rate_limit_exceeded", "model_overloaded", "unavailable"]);
});
