// The one place that says how the gateway is set up when it is measured.
import { createHash } from "node:crypto";
import { MODEL } from "./answer.ts";
import type { Started } from "./processes.ts";

export const KEY = "sk-bench";
/** Answers after a while. */
export const SLOW_MODEL = "bench-slow";
/** Streams at length. */
export const STREAMING_MODEL = "bench-streaming";

const SERVED = [MODEL, SLOW_MODEL, STREAMING_MODEL];

/** The models that a gateway stands in front of. */
export interface Models {
  readonly instant: Started;
  readonly slow: Started;
  readonly streaming: Started;
}

/** Where the full profile keeps its state and sends its traces. */
export interface Stores {
  readonly redisUrl: string;
  readonly databaseUrl: string;
  readonly collectorUrl: string;
  /** A folder for the journal. */
  readonly journalFolder: string;
}

const TENANT = "bench";
// Bounds that are checked and counted like any other, and that no load here reaches.
const AMPLE = {
  requestsPerMinute: 1_000_000_000,
  tokensPerMinute: 1_000_000_000_000,
  concurrency: 1_000_000,
};
const AMPLE_USD = 1_000_000;
const AMPLE_PLACES = 10_000;
const TRACED = 0.01;
const PRICE = { promptUsd: 0.15, completionUsd: 0.6 };
// Where the tenant's data may go, and where all models are.
const REGION = "taiwan";

/** What all gateways of the benchmark have. */
export function gatewayEnvironment({ instant, slow, streaming }: Models): Record<string, string> {
  const sha256 = createHash("sha256").update(KEY).digest("hex");
  const served = { [MODEL]: instant, [SLOW_MODEL]: slow, [STREAMING_MODEL]: streaming };
  const models = Object.entries(served).map(([name, { port }]) => ({
    name,
    task: "chat",
    region: REGION,
    replicas: [{ url: urlOf(port) }],
  }));
  return {
    GATEWAY_COLOR: "blue",
    GATEWAY_RELEASE: "bench",
    GATEWAY_MODELS: JSON.stringify(models),
    GATEWAY_KEYS: JSON.stringify([{ id: "bench", tenant: TENANT, sha256 }]),
  };
}

/** No bounds and no stores: authentication, validation, routing, metrics and logs. */
export function minimalSettings(): object {
  const limits = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };
  return { tenants: { [TENANT]: { limits } } };
}

/**
 * Every step: bounds and budget reserved in Redis, costs settled to the ledger, residency, a place in the queue, 1 % of
 * requests traced to a collector.
 */
export function fullSettings({ collectorUrl }: Stores): object {
  const budget = { hourlyUsd: AMPLE_USD, dailyUsd: AMPLE_USD };
  return {
    tenants: { [TENANT]: { tier: "gold", region: REGION, limits: AMPLE, budget } },
    residency: { [REGION]: [REGION] },
    queue: { perReplica: AMPLE_PLACES },
    telemetry: { traces: { endpoint: collectorUrl, ratio: TRACED } },
    cost: { prices: Object.fromEntries(SERVED.map((name) => [name, PRICE])) },
  };
}

/** What the full profile has beside `gatewayEnvironment`. */
export function fullEnvironment({ redisUrl, databaseUrl, journalFolder }: Stores): Record<string, string> {
  return {
    GATEWAY_REDIS_URL: redisUrl,
    GATEWAY_DATABASE_URL: databaseUrl,
    GATEWAY_JOURNAL_DIR: journalFolder,
  };
}

export function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}
