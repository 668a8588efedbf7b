import { describe, expect, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { atFirst, other, replica, retries, STREAM, start } from "./resilience-support.ts";
import {
  type Behaviour,
  beginStream,
  chunk,
  errorOf,
  metric,
  payloads,
  post,
  sendJson,
  sse,
  until,
} from "./support.ts";

const FAILURES: readonly (readonly [string, string, Behaviour])[] = [
  ["answers 500", "status", (_, response) => sendJson(response, {}, 500)],
  ["answers 502 without JSON", "status", (_, response) => void response.writeHead(502).end("<html>")],
  ["answers 503", "overloaded", (_, response) => sendJson(response, {}, 503)],
  ["answers 429", "overloaded", (_, response) => sendJson(response, {}, 429)],
  ["resets the connection", "reset", (_, response) => void response.socket?.resetAndDestroy()],
  [
    "resets in the middle of an answer",
    "reset",
    (_, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
      response.write('{"id":', () => response.socket?.resetAndDestroy());
    },
  ],
];

describe("a backend that fails twice", () => {
  test.each(FAILURES)("when it %s, then its third try is the answer", async (_, reason, behave) => {
    replica.behave = atFirst(2, behave);
    const url = await start();
    expect((await post(url)).status).toBe(200);
    expect(replica.received).toHaveLength(3);
    expect(await retries(url, reason)).toBe(2);
  });

  test.each([
    [
      "fails before its head",
      (_: unknown, response: Parameters<Behaviour>[1]) => sendJson(response, {}, 500),
    ],
    [
      "ends before its first event",
      (_: unknown, response: Parameters<Behaviour>[1]) => {
        beginStream(response);
        response.end();
      },
    ],
    [
      "says so instead of its first event",
      (_: unknown, response: Parameters<Behaviour>[1]) => {
        beginStream(response);
        response.end(sse({ error: { message: "x", code: 500 } }));
      },
    ],
  ])("when a stream %s, then its third try is the answer", async (_, behave) => {
    replica.behave = atFirst(2, behave);
    const answer = await post(await start(), { body: STREAM });
    expect(answer.status).toBe(200);
    expect(payloads(await answer.text()).at(-1)).toBe("[DONE]");
    expect(replica.received).toHaveLength(3);
  });

  test("when it never recovers, then three tries are all, and its last error is told", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start();
    expect(await errorOf(await post(url))).toMatchObject({ status: 500, code: "server_error" });
    expect(replica.received).toHaveLength(3);
  });
});

describe("what is not tried again", () => {
  test.each([400, 404, 413, 422])(
    "when the request is at fault (%i), then one try is all",
    async (status) => {
      replica.behave = (_, response) => sendJson(response, {}, status);
      await post(await start({ replicas: [replica.url, other.url].slice(0, 1) }));
      expect(replica.received).toHaveLength(1);
    },
  );

  test.each([401, 403, 302])(
    "when it would answer %i again, then only another backend is asked",
    async (status) => {
      replica.behave = (_, response) => sendJson(response, {}, status);
      expect((await post(await start())).status).toBe(500);
      expect(replica.received).toHaveLength(1);
    },
  );

  test("when a provider's account is spent, then waiting for it would not help", async () => {
    const error = { message: "x", type: "insufficient_quota", code: "insufficient_quota" };
    replica.behave = (_, response) => sendJson(response, { error }, 429);
    expect((await post(await start())).status).toBe(503);
    expect(replica.received).toHaveLength(1);
  });

  test.each([
    ["is cut", (response: Parameters<Behaviour>[1]) => void response.socket?.resetAndDestroy()],
    ["ends", (response: Parameters<Behaviour>[1]) => void response.end()],
    [
      "tells an error",
      (response: Parameters<Behaviour>[1]) => void response.end(sse({ error: { code: 500 } })),
    ],
    ["stalls", () => undefined],
  ])("when a stream %s after its first event, then nobody else is asked", async (_, finish) => {
    const behave: Behaviour = (_request, response) => {
      beginStream(response);
      response.write(sse(chunk("Hello")), () => finish(response));
    };
    replica.behave = behave;
    other.behave = behave;
    const url = await start({ replicas: [replica.url, other.url], idleSeconds: "0.3" });
    const text = await (await post(url, { body: STREAM })).text();
    expect(payloads(text)[0]).toEqual(chunk("Hello"));
    expect(text).not.toContain("[DONE]");
    expect(replica.received.length + other.received.length).toBe(1);
  });
});

describe("with another replica", () => {
  test("when one answers 500, then the other one is asked without a wait", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({
      replicas: [replica.url, other.url],
      retry: { baseSeconds: 60, maxSeconds: 60 },
    });
    for (let index = 0; index < 10; index += 1) expect((await post(url)).status).toBe(200);
    expect(other.received).toHaveLength(10);
  });
});

describe("the wait before a repetition", () => {
  test("when the backend says how long, then nobody comes back before", async () => {
    replica.behave = atFirst(1, (_, response) => {
      response.setHeader("retry-after", "1");
      sendJson(response, {}, 503);
    });
    const url = await start();
    const before = performance.now();
    expect((await post(url)).status).toBe(200);
    expect(performance.now() - before).toBeGreaterThan(990);
  });

  test("when it would last beyond the deadline, then the client is told at once", async () => {
    replica.behave = (_, response) => {
      response.setHeader("retry-after", "30");
      sendJson(response, {}, 429);
    };
    const response = await post(await start({ models: { deadlineSeconds: 20 } }));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("30");
    expect(replica.received).toHaveLength(1);
  });

  test("when the client leaves meanwhile, then it ends at once and nobody is asked again", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({
      retry: { baseSeconds: 60, maxSeconds: 60 },
      models: { deadlineSeconds: 3_000 },
    });
    const leaving = new AbortController();
    const answer = post(url, { signal: leaving.signal }).catch(() => "left");
    await until(() => replica.received.length === 1);
    // Its answer has arrived and the wait has begun.
    await until(async () => (await metric(url, METRICS.upstreamFailures.name, { reason: "status" })) === 1);
    const left = performance.now();
    leaving.abort();
    await answer;
    await until(async () => (await metric(url, METRICS.requests.name, { status: "499" })) === 1);
    expect(performance.now() - left).toBeLessThan(1_000);
    expect(replica.received).toHaveLength(1);
  });
});

test("when a backend's budget is spent, then its requests are not repeated", async () => {
  replica.behave = (_, response) => sendJson(response, {}, 500);
  const url = await start({ retry: { budgetBurst: 4, budgetShare: 0.1 } });
  for (let index = 0; index < 10; index += 1) await post(url);
  // 10 requests, 4 repetitions at once and one more for the share of ten requests.
  expect(replica.received.length).toBeGreaterThanOrEqual(14);
  expect(replica.received.length).toBeLessThanOrEqual(15);
});
