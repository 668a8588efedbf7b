import type { IncomingMessage } from "node:http";
import { ApiError } from "../api/errors.ts";
import type { Page } from "../batches/file-store.ts";

const MAX_ID_LENGTH = 128;

interface PageBounds {
  readonly defaultLimit: number;
  readonly maxLimit: number;
}

/** Which page of a listing is asked for, as OpenAI's API names it. */
export function readPage({ url = "" }: IncomingMessage, { defaultLimit, maxLimit }: PageBounds) {
  const query = new URLSearchParams(url.split("?", 2)[1] ?? "");
  const given = query.get("limit");
  const limit = given === null ? defaultLimit : Number(given);
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit || given === "")
    throw invalid("limit", `must be a whole number from 1 to ${maxLimit}`);
  const order = query.get("order") ?? "desc";
  if (order !== "asc" && order !== "desc") throw invalid("order", "must be 'asc' or 'desc'");
  const after = query.get("after") ?? undefined;
  if (after !== undefined && after.length > MAX_ID_LENGTH) throw invalid("after", "is no id");
  const page: Page = { limit, ascending: order === "asc", after: clean(after) };
  return { page, query };
}

/** PostgreSQL takes no zero byte in a text; an id that holds one is nobody's. */
function clean(after: string | undefined): string | undefined {
  return after?.includes("\0") ? "" : after;
}

function invalid(param: string, problem: string): ApiError {
  return new ApiError("invalid_request", { message: `'${param}' ${problem}.`, param });
}
