import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { ApiError } from "../api/errors.ts";
import type { Exchange, Gateway, InferenceRequest, Step } from "../exchange.ts";
import { readBody, tooLarge } from "./read-body.ts";

const JSON_TYPE = /^application\/json\s*(;|$)/i;

/** Reads the body and checks what the gateway relies on in it; everything else is left to the engine. */
export function validate(schema: z.ZodType<InferenceRequest>): Step {
  return async function validateRequest(exchange, gateway) {
    const request = await readValid(exchange, gateway, schema);
    exchange.parsed = request;
    if (request.stream_options && request.stream !== true) {
      throw new ApiError("invalid_request", {
        message: "'stream_options' is only allowed together with 'stream': true.",
        param: "stream_options",
      });
    }
  };
}

/** Reads the body into the exchange and gives what the schema makes of it. */
export async function readValid<T>(exchange: Exchange, gateway: Gateway, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(exchange, gateway));
  if (!parsed.success) throw invalid(parsed.error);
  return parsed.data;
}

/** Reads the body into the exchange and gives its JSON. */
export async function readJson(exchange: Exchange, gateway: Gateway): Promise<unknown> {
  checkHeaders(exchange.request, gateway);
  exchange.body = await readBody(exchange, gateway);
  return parseJson(exchange.body);
}

function checkHeaders({ headers }: IncomingMessage, { config }: Gateway): void {
  if (!JSON_TYPE.test(headers["content-type"] ?? "")) {
    throw new ApiError("invalid_request", { message: "The content type must be application/json." });
  }
  if ((headers["content-encoding"] ?? "identity") !== "identity") {
    throw new ApiError("invalid_request", { message: "The body must not be compressed." });
  }
  if (Number(headers["content-length"] ?? 0) > config.maxBodyBytes) throw tooLarge(config.maxBodyBytes);
}

function parseJson(body: Buffer): unknown {
  try {
    if (isUtf8(body)) return JSON.parse(body.toString());
  } catch {
    // Answered below, like bytes that are no text at all.
  }
  throw new ApiError("invalid_request", { message: "The body is not valid JSON." });
}

function invalid(error: z.ZodError): ApiError {
  const [issue] = error.issues;
  if (!issue || issue.path.length === 0) {
    return new ApiError("invalid_request", { message: "The body must be a JSON object." });
  }
  const param = issue.path.join(".");
  return new ApiError("invalid_request", { message: `'${param}' ${issue.message}.`, param });
}

/** Fails for a request that was not validated: a mistake in the order of the steps. */
export function validated(exchange: Exchange): InferenceRequest {
  if (!exchange.parsed) throw new Error("validate must come before this step");
  return exchange.parsed;
}
