import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { METRICS } from "../../../services/gateway/contract.ts";
import type { UsageRecord } from "../../../services/gateway/cost/usage-record.ts";
import { until } from "./support.ts";

/** A row of the ledger, as PostgreSQL gives it. */
export interface Row {
  readonly id: string;
  readonly request_id: string;
  readonly tenant: string;
  readonly model: string;
  readonly status: number;
  readonly stream: boolean;
  readonly prompt_tokens: number;
  readonly cached_prompt_tokens: number;
  readonly completion_tokens: number;
  readonly estimated: boolean;
  readonly nano_usd: string;
}

/** The ledger as somebody else reads it, on a connection of its own for each look. */
export class LedgerReader {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async query<R extends object>(text: string, values: unknown[] = []): Promise<R[]> {
    const client = new pg.Client({ connectionString: this.#url, query_timeout: 10_000 });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query<R>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** The rows whose request ids begin so. */
  async rows(prefix: string): Promise<Row[]> {
    const text = "select * from usage where request_id like $1 order by request_id";
    return this.query<Row>(text, [`${prefix}%`]).catch((error: unknown) => {
      // Before the first gateway has made the tables.
      if (error instanceof pg.DatabaseError && error.code === "42P01") return [];
      throw error;
    });
  }

  /** Waits for so many rows, and then finds no more. */
  async rowsOnce(prefix: string, count: number, limitMs = 20_000): Promise<Row[]> {
    await until(async () => (await this.rows(prefix)).length >= count, limitMs);
    return this.rows(prefix);
  }

  async totals(tenant: string): Promise<{ requests: number; nano: number; hourly: number }> {
    const [daily] = await this.query<{ requests: string; nano: string }>(
      "select coalesce(sum(requests), 0) as requests, coalesce(sum(nano_usd), 0) as nano from usage_daily where tenant = $1",
      [tenant],
    );
    const [hourly] = await this.query<{ nano: string }>(
      "select coalesce(sum(nano_usd), 0) as nano from usage_hourly where tenant = $1",
      [tenant],
    );
    return { requests: Number(daily?.requests), nano: Number(daily?.nano), hourly: Number(hourly?.nano) };
  }
}

export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "journal-test-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** The lines of all journals in the folder. */
export function journalLines(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl") && name !== "set-aside.jsonl")
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n").slice(0, -1));
}

export function usageRecord(values: Partial<UsageRecord> = {}): UsageRecord {
  return {
    id: randomUUID(),
    at: Date.now(),
    requestId: "request",
    tenant: "acme",
    project: "default",
    keyId: "key-1",
    user: undefined,
    model: "chat-model",
    backend: "chat-model",
    release: "r1",
    color: "blue",
    endpoint: "/v1/chat/completions",
    status: 200,
    stream: false,
    promptTokens: 10,
    cachedPromptTokens: 0,
    completionTokens: 5,
    estimated: false,
    nanoUsd: 30_000,
    latencyMs: 12.5,
    firstTokenMs: undefined,
    probe: false,
    ...values,
  };
}

export const BACKLOG = METRICS.ledgerBacklog.name;
