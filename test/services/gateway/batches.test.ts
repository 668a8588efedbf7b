import { setTimeout as wait } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import {
  batchOf,
  batchWhen,
  line,
  linesOf,
  OTHER_KEY,
  query,
  send,
  startBatch,
  startBatchGateway,
  upload,
} from "./batch-scene.ts";
import {
  answerChat,
  errorOf,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  sendJson,
  sha256,
  startReplica,
  until,
} from "./support.ts";

const LIMIT_MS = 120_000;

function lines(count: number): string[] {
  return Array.from({ length: count }, (_, index) => line(`request-${index}`));
}

describe.each(POSTGRES_KINDS)("batches, with %s PostgreSQL", (kind) => {
  let postgres: StoreProcess;
  let replica: FakeReplica;
  let gateway: RunningGateway;

  beforeAll(async () => {
    postgres = await startPostgres(kind);
    replica = await startReplica();
    gateway = await startBatchGateway(postgres, replica);
  }, LIMIT_MS);

  beforeEach(() => {
    replica.behave = answerChat;
    replica.received.length = 0;
  });

  afterAll(async () => {
    await gateway?.close();
    await replica?.close();
    await postgres?.stop();
  });

  test("good lines: the batch completes with one answer for each, in order", {
    timeout: LIMIT_MS,
  }, async () => {
    const batch = await startBatch(gateway.url, lines(30));
    expect(batch).toMatchObject({ object: "batch", status: "validating", endpoint: "/v1/chat/completions" });
    const done = await batchWhen(gateway.url, batch.id, "completed");
    expect(done.request_counts).toEqual({ total: 30, completed: 30, failed: 0 });
    expect(done.error_file_id).toBeNull();
    const results = await linesOf(gateway.url, done.output_file_id);
    expect(results.map(({ custom_id }) => custom_id)).toEqual(
      lines(30).map((text) => JSON.parse(text).custom_id),
    );
    expect(new Set(results.map(({ id }) => id)).size).toBe(30);
    expect(results[0]).toMatchObject({
      response: { status_code: 200, request_id: `${batch.id}-1`, body: { object: "chat.completion" } },
      error: null,
    });
    expect(replica.received).toHaveLength(30);
  });

  test("the requests of a batch: are counted apart from those of clients", {
    timeout: LIMIT_MS,
  }, async () => {
    const ofBatches = () =>
      metric(gateway.url, "gateway_batch_requests_total", { model: MODEL, status: "200" });
    const ofClients = () => metric(gateway.url, "gateway_requests_total", { model: MODEL });
    const waited = () => metric(gateway.url, "gateway_request_duration_seconds_count", { model: MODEL });
    const before = [await ofBatches(), await ofClients(), await waited()];
    const batch = await startBatch(gateway.url, lines(3));
    await batchWhen(gateway.url, batch.id, "completed");
    const after = [await ofBatches(), await ofClients(), await waited()];
    expect(after.map((value, index) => value - (before[index] ?? 0))).toEqual([3, 0, 0]);
  });

  test("a stored line that was damaged: fails by itself, the others are answered", {
    timeout: LIMIT_MS,
  }, async () => {
    const held = Promise.withResolvers<void>();
    replica.behave = async (request, response) => {
      await held.promise;
      await answerChat(request, response);
    };
    const batch = await startBatch(gateway.url, lines(30));
    await until(() => replica.received.length > 0);
    const damage =
      "update gateway_batch_line set request = request || '\\x00'::bytea where batch_id = $1 and number = 30";
    await query(postgres, damage, [batch.id]);
    held.resolve();
    const done = await batchWhen(gateway.url, batch.id, "completed");
    expect(done.request_counts).toEqual({ total: 30, completed: 29, failed: 1 });
    expect(await linesOf(gateway.url, done.output_file_id)).toHaveLength(29);
    expect(await linesOf(gateway.url, done.error_file_id)).toMatchObject([
      { custom_id: null, response: null, error: { code: "server_error" } },
    ]);
  });

  test("lines that the API refuses: stand in the error file, the others in the output", {
    timeout: LIMIT_MS,
  }, async () => {
    const bad = line("bad", { messages: [] });
    const unknown = line("unknown", { model: "no-such-model" });
    const batch = await startBatch(gateway.url, [line("good"), bad, unknown]);
    const done = await batchWhen(gateway.url, batch.id, "completed");
    expect(done.request_counts).toEqual({ total: 3, completed: 1, failed: 2 });
    const errors = await linesOf(gateway.url, done.error_file_id);
    expect(errors).toMatchObject([
      {
        custom_id: "bad",
        response: { status_code: 400, body: { error: { param: "messages" } } },
        error: null,
      },
      { custom_id: "unknown", response: { status_code: 404 }, error: null },
    ]);
    expect(await linesOf(gateway.url, done.output_file_id)).toMatchObject([{ custom_id: "good" }]);
  });

  test("input that cannot be run: fails with each line's problem, and asks no model", {
    timeout: LIMIT_MS,
  }, async () => {
    const request = JSON.parse(line("x")) as object;
    const batch = await startBatch(gateway.url, [
      line("a"),
      "{broken",
      "",
      line("a"),
      JSON.stringify({ ...request, custom_id: undefined }),
      JSON.stringify({ ...request, method: "GET" }),
      line("b", {}, "/v1/embeddings"),
      line("c", { stream: true }),
      JSON.stringify({ ...request, custom_id: 5 }),
      '"text"',
      line("d").replace('"Hello from d"', "[".repeat(5_000) + "]".repeat(5_000)),
    ]);
    const failed = await batchWhen(gateway.url, batch.id, "failed");
    expect(failed.errors?.data.map(({ code, line: number }) => [number, code])).toEqual([
      [2, "invalid_json_line"],
      [4, "duplicate_custom_id"],
      [5, "missing_required_parameter"],
      [6, "invalid_method"],
      [7, "mismatched_url"],
      [8, "stream_unsupported"],
      [9, "invalid_parameter"],
      [10, "invalid_json_line"],
      [11, "invalid_json_line"],
    ]);
    expect(failed.output_file_id).toBeNull();
    expect(replica.received).toHaveLength(0);
  });

  test.each([
    ["blank lines alone", "\n \n\r\n", "empty_file"],
    ["a line that is too long", line("a", { user: "x".repeat(1_048_576) }), "line_too_long"],
  ])("%s: fails", { timeout: LIMIT_MS }, async (_, content, code) => {
    const batch = await startBatch(gateway.url, [content]);
    const failed = await batchWhen(gateway.url, batch.id, "failed");
    expect(failed.errors?.data.map((problem) => problem.code)).toEqual([code]);
  });

  test("an overloaded model: lines wait and are tried again", { timeout: LIMIT_MS }, async () => {
    let refusals = 4;
    replica.behave = (request, response) => {
      if (refusals === 0) return answerChat(request, response);
      refusals -= 1;
      response.setHeader("retry-after", "1");
      return sendJson(response, {}, 503);
    };
    const batch = await startBatch(gateway.url, lines(2));
    const done = await batchWhen(gateway.url, batch.id, "completed");
    expect(done.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
  });

  test("cancelled: ends within seconds, keeps what is done, and frees the model", {
    timeout: LIMIT_MS,
  }, async () => {
    let answered = 0;
    replica.behave = (request, response) => {
      answered += 1;
      if (answered <= 5) return answerChat(request, response);
      return request.aborted.then(() => undefined);
    };
    const batch = await startBatch(gateway.url, lines(40));
    await until(async () => (await batchOf(gateway.url, batch.id)).request_counts.completed === 5);
    await until(() => replica.received.length > 5);
    const asked = performance.now();
    const cancelling = await send(gateway.url, "POST", `/v1/batches/${batch.id}/cancel`);
    expect(await cancelling.json()).toMatchObject({ id: batch.id, status: "cancelling" });
    const cancelled = await batchWhen(gateway.url, batch.id, "cancelled");
    expect(performance.now() - asked).toBeLessThan(10_000);
    expect(cancelled.request_counts).toEqual({ total: 40, completed: 5, failed: 35 });
    expect(await linesOf(gateway.url, cancelled.output_file_id)).toHaveLength(5);
    const errors = await linesOf(gateway.url, cancelled.error_file_id);
    expect(errors).toHaveLength(35);
    expect(errors[0]).toMatchObject({ response: null, error: { code: "batch_cancelled" } });
    const cut = await Promise.all(replica.received.slice(5).map(({ aborted }) => aborted));
    expect(cut.every((isCut) => isCut)).toBe(true);
  });

  test("over its window: expires, and what was not run says so", { timeout: LIMIT_MS }, async () => {
    replica.behave = ({ aborted }) => aborted.then(() => undefined);
    const batch = await startBatch(gateway.url, lines(20));
    await until(() => replica.received.length > 0);
    await query(postgres, "update gateway_batch set expires_at = now() where id = $1", [batch.id]);
    const expired = await batchWhen(gateway.url, batch.id, "expired");
    expect(expired.request_counts).toEqual({ total: 20, completed: 0, failed: 20 });
    expect(expired.output_file_id).toBeNull();
    const errors = await linesOf(gateway.url, expired.error_file_id);
    expect(errors.map(({ error }) => error?.code)).toEqual(Array(20).fill("batch_expired"));
  });

  test("another tenant's ids, on every route: 404, and nothing is listed or changed", {
    timeout: LIMIT_MS,
  }, async () => {
    const batch = await startBatch(gateway.url, [line("mine")]);
    const done = await batchWhen(gateway.url, batch.id, "completed");
    const file = done.output_file_id ?? "";
    const other = { key: OTHER_KEY };
    const attempts = [
      ["GET", `/v1/files/${file}`],
      ["GET", `/v1/files/${file}/content`],
      ["DELETE", `/v1/files/${file}`],
      ["GET", `/v1/batches/${batch.id}`],
      ["POST", `/v1/batches/${batch.id}/cancel`],
    ] as const;
    for (const [method, path] of attempts) {
      const response = await send(gateway.url, method, path, other);
      expect([path, (await errorOf(response)).status]).toEqual([path, 404]);
    }
    const body = { input_file_id: file, endpoint: "/v1/chat/completions", completion_window: "24h" };
    const stolen = await send(gateway.url, "POST", "/v1/batches", { ...other, body });
    expect(await errorOf(stolen)).toMatchObject({ status: 400, param: "input_file_id" });
    for (const path of [
      "/v1/files",
      "/v1/batches",
      `/v1/files?after=${file}`,
      `/v1/batches?after=${batch.id}`,
    ]) {
      const list = (await (await send(gateway.url, "GET", path, other)).json()) as { data: object[] };
      expect([path, list.data]).toEqual([path, []]);
    }
    expect((await send(gateway.url, "GET", `/v1/files/${file}/content`)).status).toBe(200);
  });

  test("many clients at once: lines run one at a time beside them", { timeout: LIMIT_MS }, async () => {
    const calm = await startBatchGateway(postgres, replica, { batches: { yieldAbove: 2, concurrency: 8 } });
    const idle = await startBatchGateway(postgres, replica, { batches: { concurrency: 0 } });
    await gateway.close();
    let held = 0;
    let most = 0;
    replica.behave = async (request, response) => {
      const ofBatch = request.headers["x-request-id"]?.includes("batch_");
      if (!ofBatch) return request.aborted.then(() => undefined);
      held += 1;
      most = Math.max(most, held);
      await wait(20);
      held -= 1;
      return answerChat(request, response);
    };
    const leaving = new AbortController();
    const clients = Array.from({ length: 4 }, () =>
      post(calm.url, { signal: leaving.signal }).catch(() => undefined),
    );
    await until(() => replica.received.length === 4);
    const batch = await startBatch(idle.url, lines(12));
    await batchWhen(idle.url, batch.id, "completed");
    expect(most).toBe(1);
    leaving.abort();
    await Promise.all(clients);
    await Promise.all([calm.close(), idle.close()]);
    gateway = await startBatchGateway(postgres, replica);
  });
});

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
