import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  answerChat,
  beginStream,
  chatBody,
  chunk,
  type FakeReplica,
  metric,
  payloads,
  post,
  sse,
  startReplica,
  startTestGateway,
  USAGE,
  until,
  usageChunk,
} from "./support.ts";

const CONTINUOUS = { include_usage: true, continuous_usage_stats: true };
const STREAM = chatBody({ stream: true });

let replica: FakeReplica;
let gateway: RunningGateway;

beforeAll(async () => {
  replica = await startReplica();
  gateway = await startTestGateway({
    replicas: [replica.url],
    env: { GATEWAY_REQUEST_TIMEOUT_SECONDS: "1", GATEWAY_STREAM_IDLE_TIMEOUT_SECONDS: "0.4" },
  });
});

beforeEach(() => {
  replica.behave = answerChat;
  replica.received.length = 0;
});

afterAll(async () => {
  await gateway.close();
  await replica.close();
});

test("a stream carries the engine's chunks and ends in [DONE]", async () => {
  const response = await post(gateway.url, { body: STREAM });
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  expect(response.headers.get("cache-control")).toBe("no-cache");
  const last = { ...chunk(".", "stop"), system_fingerprint: "vllm-test" };
  expect(payloads(await response.text())).toEqual([chunk("Hello"), chunk(" there"), last, "[DONE]"]);
});

test("a client that asks for usage gets it in the last chunk", async () => {
  const text = (options: object) => `${chatBody({ stream: true, stream_options: options })} `;
  const body = text({ include_usage: true });
  const events = payloads(await (await post(gateway.url, { body })).text());
  expect(events.slice(-2)).toEqual([usageChunk(), "[DONE]"]);
  expect(replica.received[0]?.body).toBe(text(CONTINUOUS));
});

test.each([
  ["no options", {}, CONTINUOUS],
  ["null", { stream_options: null }, CONTINUOUS],
  ["a refusal", { stream_options: { include_usage: false } }, CONTINUOUS],
  [
    "usage in every chunk without usage",
    { stream_options: { continuous_usage_stats: true, x: 1 } },
    { ...CONTINUOUS, x: 1 },
  ],
])("with %s the engine is asked for usage and the client sees none", async (_, extra, asked) => {
  const body = chatBody({ stream: true, seed: 7, ...extra });
  const events = payloads(await (await post(gateway.url, { body })).text());
  expect(events.some((event) => typeof event === "object" && event !== null && "usage" in event)).toBe(false);
  expect(JSON.parse(replica.received[0]?.body ?? "")).toEqual({ ...JSON.parse(body), stream_options: asked });
});

test("every event leaves as it comes, before the next one", async () => {
  const gate = Promise.withResolvers<void>();
  replica.behave = async (_, response) => {
    beginStream(response);
    response.write(sse(chunk("first")));
    await gate.promise;
    response.end(sse(chunk("second", "stop")) + sse("[DONE]"));
  };
  const response = await post(gateway.url, { body: STREAM });
  const events = response.body?.values() ?? [];
  const seen: string[] = [];
  for await (const part of events) {
    seen.push(Buffer.from(part).toString());
    gate.resolve();
  }
  expect(seen[0]).toBe(sse(chunk("first")));
  expect(seen.join("")).toContain("[DONE]");
});

function lastError(text: string): unknown {
  expect(text).not.toContain("[DONE]");
  return (payloads(text).at(-1) as { error: { code: string } }).error;
}

test.each([
  ["ends without [DONE]", "end", "server_error"],
  ["is cut", "cut", "server_error"],
  ["stands still", "stall", "timeout"],
])("a stream that %s ends with an error event and no [DONE]", async (_, how, code) => {
  replica.behave = (_request, response) => {
    beginStream(response);
    response.write(sse(chunk("Hello")), () => {
      if (how === "end") response.end();
      if (how === "cut") response.socket?.destroy();
    });
  };
  const text = await (await post(gateway.url, { body: STREAM })).text();
  expect(payloads(text)[0]).toEqual(chunk("Hello"));
  expect(lastError(text)).toMatchObject({ code, type: "server_error" });
  expect(await replica.received[0]?.aborted).toBe(how !== "end");
});

test("a stream longer than the deadline goes on as long as it moves", async () => {
  replica.behave = async (_, response) => {
    beginStream(response);
    for (let index = 0; index < 8; index += 1) {
      response.write(sse(chunk("word")));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    response.end(sse("[DONE]"));
  };
  const text = await (await post(gateway.url, { body: STREAM })).text();
  expect(payloads(text)).toHaveLength(9);
  expect(text).toContain("[DONE]");
});

test("an engine's error event becomes one of the catalogue's, without the engine's words", async () => {
  replica.behave = (_, response) => {
    beginStream(response);
    response.write(sse(chunk("Hello")));
    response.write(
      sse({ error: { message: "EngineCore at /opt/vllm died", type: "InternalServerError", code: 500 } }),
    );
    response.end(sse("[DONE]"));
  };
  const text = await (await post(gateway.url, { body: STREAM })).text();
  expect(text).not.toContain("EngineCore");
  expect(lastError(text)).toMatchObject({ code: "server_error" });
});

test("an error instead of the first event is answered with a proper status", async () => {
  replica.behave = (_, response) => {
    beginStream(response);
    response.end(sse({ error: { message: "busy", type: "Service Unavailable", code: 503 } }) + sse("[DONE]"));
  };
  const response = await post(gateway.url, { body: STREAM });
  expect(response.status).toBe(503);
  expect(response.headers.get("retry-after")).toBe("1");
  expect(await response.json()).toMatchObject({ error: { code: "model_overloaded" } });
});

test("a stream that never begins is answered 504 at the deadline and ended at the engine", async () => {
  replica.behave = (_, response) => beginStream(response);
  const response = await post(gateway.url, { body: STREAM });
  expect(response.status).toBe(504);
  expect(await replica.received[0]?.aborted).toBe(true);
});

test("a stream that holds nothing but comments is answered 504 at the deadline", async () => {
  replica.behave = async ({ aborted }, response) => {
    beginStream(response);
    let isOver = false;
    void aborted.then(() => {
      isOver = true;
    });
    for (; !isOver; await wait(50)) response.write(": still working\n\n");
  };
  const response = await post(gateway.url, { body: STREAM });
  expect(response.status).toBe(504);
  expect(await replica.received[0]?.aborted).toBe(true);
});

test.each(["data: [DONE]", "data: [DONE] \n\n", "data: [DONE]\n"])(
  "a stream that ends with %j is whole",
  async (end) => {
    replica.behave = (_, response) => {
      beginStream(response);
      response.end(sse(chunk("Hello")) + end);
    };
    const text = await (await post(gateway.url, { body: STREAM })).text();
    expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true);
    expect(text).not.toContain("error");
  },
);

test("an answer whose kind is told twice is read all the same", async () => {
  replica.behave = (_, response) => {
    response.writeHead(200, ["content-type", "text/event-stream", "content-type", "text/event-stream"]);
    response.end(sse(chunk("Hello")) + sse("[DONE]"));
  };
  expect(payloads(await (await post(gateway.url, { body: STREAM })).text()).at(-1)).toBe("[DONE]");
});

test("an answer that is no event stream is a server error", async () => {
  replica.behave = (_, response) =>
    void response.writeHead(200, { "content-type": "text/html" }).end("<html>");
  const response = await post(gateway.url, { body: STREAM });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("html");
});

test("when the client leaves, the engine's work ends within a second and counts as 499", async () => {
  replica.behave = (_, response) => {
    beginStream(response);
    response.write(sse(chunk("Hello")));
  };
  const leaving = new AbortController();
  const response = await post(gateway.url, { body: STREAM, signal: leaving.signal });
  await response.body?.getReader().read();
  const left = performance.now();
  leaving.abort();
  expect(await replica.received[0]?.aborted).toBe(true);
  expect(performance.now() - left).toBeLessThan(350);
  await until(async () => (await metric(gateway.url, "gateway_requests_total", { status: "499" })) === 1);
  expect(await metric(gateway.url, "gateway_active_requests", { model: "chat-model" })).toBe(0);
});

test("a client that does not read slows the engine down and is dropped in the end", async () => {
  let written = 0;
  replica.behave = async (_, response) => {
    beginStream(response);
    const event = sse(chunk("x".repeat(64 * 1024)));
    while (!response.destroyed && written < 5_000) {
      written += 1;
      if (!response.write(event)) {
        const settled = new AbortController();
        const { signal } = settled;
        await Promise.race([once(response, "drain", { signal }), once(response, "close", { signal })]);
        settled.abort();
      }
    }
  };
  const response = await post(gateway.url, { body: STREAM });
  expect(response.status).toBe(200);
  expect(await replica.received[0]?.aborted).toBe(true);
  expect(written).toBeLessThan(1_000);
  // What was on its way can still be read; then the connection is found cut, not ended.
  await expect(response.text()).rejects.toThrow("terminated");
});

test("an engine that goes on after [DONE] holds neither its client nor a place", async () => {
  replica.behave = (_, response) => {
    beginStream(response);
    response.write(sse(chunk("Hello", "stop")) + sse("[DONE]"));
  };
  const text = await (await post(gateway.url, { body: STREAM })).text();
  expect(text).toContain("[DONE]");
  expect(await replica.received[0]?.aborted).toBe(true);
  expect(await metric(gateway.url, "gateway_active_requests", { model: "chat-model" })).toBe(0);
});

test("tokens and times are counted, whether or not the client asked for usage", async () => {
  const prompt = () => metric(gateway.url, "gateway_tokens_total", { type: "prompt", tenant: "acme" });
  const completion = () =>
    metric(gateway.url, "gateway_tokens_total", { type: "completion", tenant: "acme" });
  const firstTokens = () =>
    metric(gateway.url, "gateway_time_to_first_token_seconds_count", { model: "chat-model" });
  const before = [await prompt(), await completion(), await firstTokens()];
  await (await post(gateway.url, { body: STREAM })).text();
  await until(async () => (await prompt()) === (before[0] ?? 0) + USAGE.prompt_tokens);
  expect(await completion()).toBe((before[1] ?? 0) + USAGE.completion_tokens);
  expect(await firstTokens()).toBe((before[2] ?? 0) + 1);
});
