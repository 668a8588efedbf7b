import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  beginStream,
  CHAT_ANSWER,
  chatBody,
  chunk,
  type FakeReplica,
  MODEL,
  metric,
  post,
  sendJson,
  sse,
  startReplica,
  startTestGateway,
  until,
} from "./support.ts";

const STREAM = chatBody({ stream: true });
const CHAT = { model: MODEL, endpoint: "/v1/chat/completions" };

let replica: FakeReplica;
let gateway: RunningGateway;

beforeEach(async () => {
  replica = await startReplica();
  const env = { GATEWAY_STREAM_IDLE_TIMEOUT_SECONDS: "0.3", GATEWAY_REQUEST_TIMEOUT_SECONDS: "0.5" };
  gateway = await startTestGateway({ replicas: [replica.url], env });
});

afterEach(async () => {
  await gateway.close();
  await replica.close();
});

const failures = (reason: string) => metric(gateway.url, METRICS.failures.name, { ...CHAT, reason });

async function settled(status: string): Promise<void> {
  await until(async () => (await metric(gateway.url, METRICS.requests.name, { ...CHAT, status })) === 1);
}

async function counts(): Promise<{ status: number; stream: number }> {
  return { status: await failures("status"), stream: await failures("stream") };
}

describe("failed answers", () => {
  test.each([
    [
      "the engine's own error",
      500,
      (response: Parameters<typeof sendJson>[0]) => sendJson(response, {}, 500),
    ],
    [
      "an engine without room",
      503,
      (response: Parameters<typeof sendJson>[0]) => sendJson(response, {}, 503),
    ],
    ["an engine that does not answer in time", 504, () => undefined],
  ])("%s counts by its status, streamed or not", async (_, status, behave) => {
    replica.behave = (_request, response) => behave(response);
    expect((await post(gateway.url)).status).toBe(status);
    await settled(String(status));
    expect(await counts()).toEqual({ status: 1, stream: 0 });
    expect((await post(gateway.url, { body: STREAM })).status).toBe(status);
    await until(async () => (await failures("status")) === 2);
  });

  test.each([
    ["is cut by the engine", "cut"],
    ["ends without [DONE]", "end"],
    ["stands still", "stall"],
    ["carries an error of the engine", "error"],
  ])("a stream that %s counts, though its status is 200", async (_, how) => {
    replica.behave = (_request, response) => {
      beginStream(response);
      response.write(sse(chunk("Hello")), () => {
        if (how === "cut") response.socket?.destroy();
        if (how === "end") response.end();
        if (how === "error") response.end(sse({ error: { message: "dead", type: "x", code: 500 } }));
      });
    };
    await (await post(gateway.url, { body: STREAM })).text();
    await settled("200");
    expect(await counts()).toEqual({ status: 0, stream: 1 });
  });

  test("an answer that is complete and that its client does not read ends with its connection", async () => {
    const text = "x".repeat(32 * 1024 * 1024);
    replica.behave = (_, response) => sendJson(response, { ...CHAT_ANSWER, text });
    await post(gateway.url);
    const left = async () => metric(gateway.url, METRICS.requests.name, { model: MODEL, status: "499" });
    const before = await left();
    await until(async () => (await left()) > before, 40_000);
  });

  test("a stream that is dropped because nobody reads it counts: it was cut on our side", async () => {
    replica.behave = async (_, response) => {
      beginStream(response);
      const event = sse(chunk("x".repeat(64 * 1024)));
      while (!response.destroyed) if (!response.write(event)) await wait(1);
    };
    await post(gateway.url, { body: STREAM });
    await until(async () => (await failures("stream")) === 1, 40_000);
    expect(await failures("status")).toBe(0);
  });
});

describe("no failures", () => {
  test("answers and streams that are whole", async () => {
    await (await post(gateway.url)).text();
    await (await post(gateway.url, { body: STREAM })).text();
    await until(async () => (await metric(gateway.url, METRICS.requests.name, { status: "200" })) === 2);
    expect(await counts()).toEqual({ status: 0, stream: 0 });
  });

  test("wrong requests, also where the engine tells it inside a stream", async () => {
    expect((await post(gateway.url, { body: "{" })).status).toBe(400);
    replica.behave = (_, response) => {
      beginStream(response);
      response.write(sse(chunk("Hello")));
      response.end(sse({ error: { message: "too long", type: "BadRequestError", code: 400 } }));
    };
    await (await post(gateway.url, { body: STREAM })).text();
    await settled("200");
    expect(await counts()).toEqual({ status: 0, stream: 0 });
  });

  test.each([
    ["before its answer", false],
    ["in the middle of its stream", true],
  ])("clients that leave %s", async (_, begun) => {
    replica.behave = (_request, response) => {
      if (!begun) return;
      beginStream(response);
      response.write(sse(chunk("Hello")));
    };
    const leaving = new AbortController();
    const answer = post(gateway.url, { body: STREAM, signal: leaving.signal });
    await until(() => replica.received.length === 1);
    if (begun) await (await answer).body?.getReader().read();
    leaving.abort();
    await answer.catch(() => "left");
    await settled("499");
    expect(await counts()).toEqual({ status: 0, stream: 0 });
  });
});
