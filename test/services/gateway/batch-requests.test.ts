import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import {
  batchOf,
  line,
  OTHER_KEY,
  query,
  send,
  startBatch,
  startBatchGateway,
  upload,
} from "./batch-scene.ts";
import { errorOf, type FakeReplica, KEY, MODEL, sha256, startReplica } from "./support.ts";

const LIMIT_MS = 120_000;

describe("batches, what is asked for", () => {
  let postgres: StoreProcess;
  let replica: FakeReplica;
  let gateway: RunningGateway;

  beforeAll(async () => {
    postgres = await startPostgres(POSTGRES_KINDS[0] ?? "embedded");
    replica = await startReplica();
    gateway = await startBatchGateway(postgres, replica, {
      batches: { concurrency: 0, maxTenantBatches: 3 },
    });
  }, LIMIT_MS);

  afterAll(async () => {
    await gateway?.close();
    await replica?.close();
    await postgres?.stop();
  });

  afterEach(async () => {
    await query(postgres, "delete from gateway_batch");
  });

  async function fileId(): Promise<string> {
    const file = (await (await upload(gateway.url, { content: line("a") })).json()) as { id: string };
    return file.id;
  }

  test.each([
    ["no file", { input_file_id: undefined }, "input_file_id"],
    ["a file that is not there", { input_file_id: `file-${"0".repeat(32)}` }, "input_file_id"],
    ["an id with a zero byte", { input_file_id: "file-\u0000" }, "input_file_id"],
    ["an endpoint that is none", { endpoint: "/v1/models" }, "endpoint"],
    ["another window", { completion_window: "1h" }, "completion_window"],
    ["metadata that is no map of texts", { metadata: { a: 1 } }, "metadata.a"],
    [
      "too much metadata",
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ""])) },
      "metadata",
    ],
    [
      "an expiry that is too short",
      { output_expires_after: { anchor: "created_at", seconds: 1 } },
      "output_expires_after.seconds",
    ],
  ])("%s: is refused by name", async (_, change, param) => {
    const good = {
      input_file_id: await fileId(),
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    const response = await send(gateway.url, "POST", "/v1/batches", { body: { ...good, ...change } });
    expect(await errorOf(response)).toMatchObject({ status: 400, code: "invalid_request", param });
  });

  test("more unfinished batches than permitted: 429 that says so", async () => {
    const ids = [];
    for (let count = 0; count < 3; count += 1) ids.push((await startBatch(gateway.url, [line("a")])).id);
    const body = {
      input_file_id: await fileId(),
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    const response = await send(gateway.url, "POST", "/v1/batches", { body });
    expect(response.headers.get("retry-after")).toBe("60");
    expect(await errorOf(response)).toMatchObject({ status: 429 });
    // Another tenant is not concerned.
    expect((await startBatch(gateway.url, [line("a")], OTHER_KEY)).status).toBe("validating");
  });

  test("a listing in pages: each batch once, newest first", async () => {
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1) ids.unshift((await startBatch(gateway.url, [line("a")])).id);
    const page = async (path: string) =>
      (await (await send(gateway.url, "GET", path)).json()) as { data: { id: string }[]; has_more: boolean };
    const first = await page("/v1/batches?limit=2");
    expect([first.data.map(({ id }) => id), first.has_more]).toEqual([ids.slice(0, 2), true]);
    const second = await page(`/v1/batches?limit=2&after=${ids[1]}`);
    expect([second.data.map(({ id }) => id), second.has_more]).toEqual([ids.slice(2), false]);
    expect((await page("/v1/batches?order=asc")).data.map(({ id }) => id)).toEqual(ids.toReversed());
  });

  test.each(["limit=0", "limit=101", "limit=", "limit=x", "order=up", `after=${"x".repeat(200)}`])(
    "a page of %s: is refused by name",
    async (text) => {
      const response = await send(gateway.url, "GET", `/v1/batches?${text}`);
      expect(await errorOf(response)).toMatchObject({ status: 400, param: text.split("=")[0] });
    },
  );

  test("texts that no database can hold: 400", async () => {
    expect((await send(gateway.url, "GET", "/v1/files?purpose=%00")).status).toBe(400);
    const body = {
      input_file_id: await fileId(),
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    for (const text of ["a\u0000b", "\ud800"]) {
      const metadata = { note: text };
      const made = await send(gateway.url, "POST", "/v1/batches", { body: { ...body, metadata } });
      expect(made.status).toBe(400);
    }
  });

  test("an id with a zero byte as the page's beginning: is nobody's", async () => {
    const response = await send(gateway.url, "GET", "/v1/batches?after=%00");
    expect(await response.json()).toMatchObject({ data: [] });
  });

  test("a batch of requests that its key may not make: 403", async () => {
    const permissions = ["*:files", "*:batches", "create:chat"];
    const keys = [{ id: "key-1", sha256: sha256(KEY), tenant: "acme", permissions }];
    const env = { GATEWAY_KEYS: JSON.stringify(keys) };
    const narrow = await startBatchGateway(postgres, replica, { batches: { concurrency: 0 }, env });
    const input_file_id = await fileId();
    const statuses = [];
    for (const endpoint of ["/v1/completions", "/v1/embeddings", "/v1/chat/completions"]) {
      const body = { input_file_id, endpoint, completion_window: "24h" };
      statuses.push((await send(narrow.url, "POST", "/v1/batches", { body })).status);
    }
    expect(statuses).toEqual([403, 403, 200]);
    await narrow.close();
  });

  test("a batch that waits, when another tenant cancels it: 404, and it goes on waiting", async () => {
    const { id } = await startBatch(gateway.url, [line("mine")]);
    const path = `/v1/batches/${id}/cancel`;
    expect((await send(gateway.url, "POST", path, { key: OTHER_KEY })).status).toBe(404);
    expect((await batchOf(gateway.url, id)).status).toBe("validating");
  });

  test("a batch that waits is cancelled although no gateway works on it; twice is no error", async () => {
    const { id } = await startBatch(gateway.url, [line("a", { model: MODEL })]);
    for (let count = 0; count < 2; count += 1) {
      const response = await send(gateway.url, "POST", `/v1/batches/${id}/cancel`);
      expect(await response.json()).toMatchObject({ status: "cancelling" });
    }
  });
});
