import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
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
} from "./batch-scene.ts";
import {
  answerChat,
  errorOf,
  type FakeReplica,
  MODEL,
  metric,
  post,
  sendJson,
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
