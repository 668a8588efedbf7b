import { randomBytes } from "node:crypto";
import pg from "pg";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import type { StoreProcess } from "../stores.ts";
import { type FakeReplica, KEY, MODEL, sha256, startTestGateway, until } from "./support.ts";

export const OTHER_KEY = "sk-other-tenant";
export const CONTENT_KEY = randomBytes(32).toString("base64");
export const CONTENT_KEYS = JSON.stringify([{ id: "k1", key: CONTENT_KEY }]);

const KEYS = [
  { id: "key-1", sha256: sha256(KEY), tenant: "acme" },
  { id: "key-2", sha256: sha256(OTHER_KEY), tenant: "globex" },
];
const UNBOUNDED = { limits: { requestsPerMinute: null, tokensPerMinute: null, concurrency: null } };

export interface BatchGatewayOptions {
  readonly batches?: object;
  readonly env?: Readonly<Record<string, string>>;
  readonly settings?: object;
}

/** The environment and the settings of a gateway that works on batches without delay. */
export function batchOptions(
  postgres: StoreProcess,
  replica: FakeReplica,
  options: BatchGatewayOptions = {},
) {
  return {
    replicas: [replica.url],
    env: {
      GATEWAY_DATABASE_URL: postgres.url,
      GATEWAY_CONTENT_KEYS: CONTENT_KEYS,
      GATEWAY_KEYS: JSON.stringify(KEYS),
      ...options.env,
    },
    settings: {
      tenants: { acme: UNBOUNDED, globex: UNBOUNDED },
      batches: { pollMs: 50, ...options.batches },
      ...options.settings,
    },
  };
}

/** A gateway that has reached its database. */
export async function startBatchGateway(
  postgres: StoreProcess,
  replica: FakeReplica,
  options: BatchGatewayOptions = {},
): Promise<RunningGateway> {
  const gateway = await startTestGateway(batchOptions(postgres, replica, options));
  await until(async () => (await send(gateway.url, "GET", "/v1/batches")).status === 200, 120_000);
  return gateway;
}

export interface Sent {
  readonly key?: string;
  readonly body?: object;
}

export function send(
  url: string,
  method: string,
  path: string,
  { key = KEY, body }: Sent = {},
): Promise<Response> {
  return fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body ? { "content-type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}

export interface Uploaded {
  readonly content: string | Uint8Array<ArrayBuffer>;
  readonly key?: string;
  readonly fields?: Readonly<Record<string, string>>;
}

export function upload(
  url: string,
  { content, key = KEY, fields = { purpose: "batch" } }: Uploaded,
): Promise<Response> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set("file", new Blob([content]), "input.jsonl");
  return fetch(`${url}/v1/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: form,
  });
}

export function line(id: string, extra: object = {}, url = "/v1/chat/completions"): string {
  const body = { model: MODEL, messages: [{ role: "user", content: `Hello from ${id}` }], ...extra };
  return JSON.stringify({ custom_id: id, method: "POST", url, body });
}

export interface Batch {
  readonly id: string;
  readonly status: string;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly request_counts: { total: number; completed: number; failed: number };
  readonly errors: {
    data: { code: string; line: number | null; message: string; param: string | null }[];
  } | null;
}

/** Uploads lines and makes a batch of them. */
export async function startBatch(url: string, lines: readonly string[], key = KEY): Promise<Batch> {
  const file = (await (await upload(url, { content: lines.join("\n"), key })).json()) as { id: string };
  const body = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
  return (await (await send(url, "POST", "/v1/batches", { key, body })).json()) as Batch;
}

export async function batchOf(url: string, id: string, key = KEY): Promise<Batch> {
  return (await (await send(url, "GET", `/v1/batches/${id}`, { key })).json()) as Batch;
}

/** The batch once it has that status. */
export async function batchWhen(url: string, id: string, status: string): Promise<Batch> {
  let batch = await batchOf(url, id);
  await until(async () => {
    batch = await batchOf(url, id);
    return batch.status === status;
  }, 120_000);
  return batch;
}

export interface ResultLine {
  readonly id: string;
  readonly custom_id: string;
  readonly response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  readonly error: { code: string; message: string } | null;
}

export async function linesOf(url: string, fileId: string | null): Promise<ResultLine[]> {
  const text = await (await send(url, "GET", `/v1/files/${fileId}/content`)).text();
  return text
    .split("\n")
    .filter((entry) => entry !== "")
    .map((entry): ResultLine => JSON.parse(entry));
}

/** Asks the database itself. */
export async function query(postgres: StoreProcess, text: string, values: unknown[] = []) {
  const client = new pg.Client(postgres.url);
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}
