import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { launch, other, replica, STREAM, start } from "./resilience-support.ts";
import {
  answerChat,
  type Behaviour,
  beginStream,
  CHAT_ANSWER,
  chatBody,
  chunk,
  closeServer,
  deadUrl,
  errorOf,
  MODEL,
  metric,
  post,
  sendJson,
  sse,
  until,
} from "./support.ts";

describe("a breaker", () => {
  const state = (url: string) =>
    metric(url, METRICS.circuitState.name, { model: MODEL, backend: "replica-0" });
  const RETRY_NEVER = { tries: 1 };

  async function fail(url: string, times: number, body = chatBody()): Promise<void> {
    for (let index = 0; index < times; index += 1) await (await post(url, { body })).text();
  }

  test("when 5 requests fail, then it opens: 503 without asking, and when to come back", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({ retry: RETRY_NEVER, breaker: {} });
    await fail(url, 5);
    expect(await state(url)).toBe(2);
    const response = await post(url);
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "model_overloaded" });
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(50);
    expect(replica.received).toHaveLength(5);
  });

  test("when its time is over, then one request finds out that the backend is back", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({ retry: RETRY_NEVER, breaker: { failures: 2, openSeconds: 0.5 } });
    await fail(url, 2);
    const gate = Promise.withResolvers<void>();
    replica.behave = async (request, response) => {
      await gate.promise;
      await answerChat(request, response);
    };
    await until(async () => (await state(url)) === 1);
    const probing = post(url);
    await until(() => replica.received.length === 3);
    expect((await post(url)).status).toBe(503);
    expect(replica.received).toHaveLength(3);
    gate.resolve();
    expect((await probing).status).toBe(200);
    expect(await state(url)).toBe(0);
    expect((await post(url)).status).toBe(200);
  });

  test("when streams are cut in the middle, then it opens, too", async () => {
    replica.behave = (_, response) => {
      beginStream(response);
      response.write(sse(chunk("Hello")), () => response.socket?.resetAndDestroy());
    };
    const url = await start({ breaker: { failures: 3 } });
    await fail(url, 3, STREAM);
    await until(async () => (await state(url)) === 2);
  });

  test("when another replica works, then no request notices", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({ replicas: [replica.url, other.url], breaker: { failures: 2 } });
    for (let index = 0; index < 20; index += 1) expect((await post(url)).status).toBe(200);
    expect(replica.received).toHaveLength(2);
  });

  test.each<readonly [string, string, Behaviour]>([
    ["the request is at fault", chatBody(), (_, response) => sendJson(response, {}, 400)],
    ["there is no room", chatBody(), (_, response) => sendJson(response, {}, 503)],
  ])("when %s, then it stays closed", async (_, body, behave) => {
    replica.behave = behave;
    const url = await start({ retry: RETRY_NEVER, breaker: { failures: 2 } });
    await fail(url, 5, body);
    expect(await state(url)).toBe(0);
    expect(replica.received).toHaveLength(5);
  });

  test("when one bad request is tried again and again, then it counts once", async () => {
    replica.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({ retry: { tries: 6 }, breaker: { failures: 2 } });
    await fail(url, 1);
    expect(replica.received).toHaveLength(6);
    expect(await state(url)).toBe(0);
  });

  test("when answers are only long while others arrive, then it stays closed", async () => {
    replica.behave = (request, response) =>
      request.body.includes("long") ? undefined : answerChat(request, response);
    const url = await start({
      retry: RETRY_NEVER,
      breaker: { failures: 2 },
      models: { deadlineSeconds: 0.5 },
    });
    const long = Array.from({ length: 4 }, () => post(url, { body: chatBody({ user: "long" }) }));
    await until(() => replica.received.length === 4);
    expect((await post(url)).status).toBe(200);
    for (const { status } of await Promise.all(long)) expect(status).toBe(504);
    expect(await state(url)).toBe(0);
  });

  test("when nothing at all comes, then it opens", async () => {
    replica.behave = () => undefined;
    const url = await start({
      retry: RETRY_NEVER,
      breaker: { failures: 2 },
      models: { deadlineSeconds: 0.3 },
    });
    await fail(url, 2);
    expect(await state(url)).toBe(2);
  });

  test("when clients do not read their streams, then it stays closed", async () => {
    replica.behave = async (_, response) => {
      beginStream(response);
      const event = sse(chunk("x".repeat(64 * 1024)));
      while (!response.destroyed) if (!response.write(event)) await wait(1);
    };
    const url = await start({ breaker: { failures: 2 }, idleSeconds: "1" });
    // Kept: what nobody holds any more is cancelled, as by a client that leaves.
    const unread = [await post(url, { body: STREAM }), await post(url, { body: STREAM })];
    const broken = () => metric(url, METRICS.failures.name, { model: MODEL, reason: "stream" });
    await until(async () => (await broken()) === 2, 20_000);
    expect(await state(url)).toBe(0);
    expect(unread.map(({ status }) => status)).toEqual([200, 200]);
  });

  test("when a replica that refused is back, then it is asked at once", async () => {
    const dead = await deadUrl();
    const gateway = await launch({
      replicas: [dead],
      settings: { resilience: { retry: RETRY_NEVER, breaker: { failures: 1 } } },
    });
    const { url } = gateway;
    await fail(url, 1);
    expect(await state(url)).toBe(2);
    const back = createServer((request, response) => {
      if (request.url === "/health") response.end();
      else sendJson(response, CHAT_ANSWER);
    }).listen(Number(new URL(dead).port), "127.0.0.1");
    onTestFinished(() => closeServer(back));
    await until(async () => (await post(url)).status === 200);
  });
});
