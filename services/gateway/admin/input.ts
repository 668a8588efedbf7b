import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { ApiError } from "../api/errors.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { readJson } from "../steps/validate.ts";

const MAX_PROBLEMS = 20;

/** What the schema makes of the body; every problem of it is told at once. */
export async function readBody<T>(exchange: Exchange, gateway: Gateway, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(exchange, gateway));
  if (!parsed.success) throw invalid(parsed.error);
  return parsed.data;
}

/** What the schema makes of the query; every problem of it is told at once. */
export function readQuery<T>(request: IncomingMessage, schema: z.ZodType<T>): T {
  const [, query = ""] = (request.url ?? "").split("?", 2);
  const parsed = schema.safeParse(Object.fromEntries(new URLSearchParams(query)));
  if (!parsed.success) throw invalid(parsed.error);
  return parsed.data;
}

function invalid(error: z.ZodError): ApiError {
  const problems = error.issues.flatMap(describe).slice(0, MAX_PROBLEMS);
  const param = error.issues.map(({ path }) => path.join(".")).find((path) => path !== "");
  return new ApiError("invalid_request", { message: `${problems.join("; ")}.`, ...(param ? { param } : {}) });
}

function describe(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.join(".");
  // Names that a client invents are not repeated.
  if (issue.code === "unrecognized_keys") {
    const where = path === "" ? "the request" : `'${path}'`;
    return [`${where} has ${issue.keys.length} unknown field(s)`];
  }
  return [path === "" ? "the body must be a JSON object" : `'${path}' ${issue.message}`];
}
