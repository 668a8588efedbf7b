import { z } from "zod";
import type { UsageRecord } from "./usage-record.ts";

const MAX_INTEGER = 2_147_483_647;

const text = z.string();
const integer = z.int().min(0).max(MAX_INTEGER);

/** A line of the journal: the columns of the ledger, so that nothing is written twice. */
const row = z.looseObject({
  id: z.guid(),
  /** Milliseconds since 1970. */
  at: z.int().min(0),
  request_id: text,
  tenant: text,
  project: text,
  key_id: text,
  user_id: text.nullish(),
  model: text,
  backend: text,
  release: text,
  color: text,
  endpoint: text,
  status: z.int().min(0).max(999),
  stream: z.boolean(),
  prompt_tokens: integer,
  cached_prompt_tokens: integer,
  completion_tokens: integer,
  estimated: z.boolean(),
  nano_usd: z.int().min(0),
  latency_ms: integer,
  first_token_ms: integer.nullish(),
  probe: z.boolean(),
});

/** The record as one line of the journal. */
export function toLine(record: UsageRecord): string {
  return JSON.stringify({
    id: record.id,
    at: record.at,
    request_id: record.requestId,
    tenant: record.tenant,
    project: record.project,
    key_id: record.keyId,
    user_id: record.user === undefined ? undefined : storable(record.user),
    model: storable(record.model),
    backend: record.backend,
    release: record.release,
    color: record.color,
    endpoint: record.endpoint,
    status: record.status,
    stream: record.stream,
    prompt_tokens: record.promptTokens,
    cached_prompt_tokens: record.cachedPromptTokens,
    completion_tokens: record.completionTokens,
    estimated: record.estimated,
    nano_usd: record.nanoUsd,
    latency_ms: Math.min(Math.round(record.latencyMs), MAX_INTEGER),
    first_token_ms:
      record.firstTokenMs === undefined ? undefined : Math.min(Math.round(record.firstTokenMs), MAX_INTEGER),
    probe: record.probe,
  } satisfies z.input<typeof row>);
}

// PostgreSQL stores neither a NUL nor half a character.
function storable(given: string): string {
  return given.toWellFormed().replaceAll("\0", "");
}

/** Whether a line that was found in a file is one that was written whole. */
export function isLine(line: string): boolean {
  try {
    return row.safeParse(JSON.parse(line)).success;
  } catch {
    return false;
  }
}
