import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import { startLoad } from "../../../release/load/load.ts";
import { beginStream, chunk, deadUrl, sendJson, sse, until } from "../../services/gateway/support.ts";
import { startSimulator } from "../../services/model-simulator/support.ts";
import { loadOf, settings, startServer } from "./support.ts";

const FIRST = sse(chunk("Hello"));
const END = sse(chunk(" there.", "stop"));
const DONE = sse("[DONE]");

function stream(...events: string[]) {
  return (response: ServerResponse) => {
    beginStream(response);
    for (const event of events) response.write(event);
    response.end();
  };
}

function cutAfter(text: string) {
  return (response: ServerResponse) => {
    beginStream(response);
    response.write(text, () => response.destroy());
  };
}

const JSON_ANSWERS: [string, string, (response: ServerResponse) => void][] = [
  ["status 503", "status", (response) => sendJson(response, { choices: [{}] }, 503)],
  ["status 401", "status", (response) => sendJson(response, { choices: [{}] }, 401)],
  ["a redirect", "status", (response) => response.writeHead(302, { location: "/" }).end()],
  ["status 204", "status", (response) => response.writeHead(204).end()],
  ["no JSON", "content", (response) => response.end("<html>")],
  ["JSON that breaks off", "content", (response) => response.end('{"choices":[{}')],
  ["JSON without choices", "content", (response) => sendJson(response, { object: "chat.completion" })],
  ["JSON with no choice", "content", (response) => sendJson(response, { choices: [] })],
  ["a list", "content", (response) => sendJson(response, [])],
  ["an empty body", "content", (response) => response.end()],
  ["a reset before the answer", "connection", (response) => response.socket?.resetAndDestroy()],
  ["a closed connection before the answer", "connection", (response) => response.destroy()],
  [
    "a body shorter than it says",
    "truncated",
    (response) => {
      response.writeHead(200, { "content-length": 1000 });
      response.write('{"choices":[{}]}', () => response.destroy());
    },
  ],
];

const STREAMS: [string, string, (response: ServerResponse) => void][] = [
  ["is cut after an event", "truncated", cutAfter(FIRST)],
  ["is cut after its finish_reason", "truncated", cutAfter(FIRST + END)],
  ["is cut after [DONE], before the end of its body", "truncated", cutAfter(FIRST + END + DONE)],
  [
    "is reset",
    "truncated",
    (response) => {
      beginStream(response);
      response.write(FIRST, () => response.socket?.resetAndDestroy());
    },
  ],
  ["ends without [DONE]", "content", stream(FIRST, END)],
  ["ends with something like [DONE]", "content", stream(FIRST, END, sse("[DONE.]"))],
  [
    "has a finish_reason outside its choices only",
    "content",
    stream(FIRST, sse({ choices: [{ index: 0 }], finish_reason: "stop" }), DONE),
  ],
  ["ends in the middle of [DONE]", "content", stream(FIRST, END, "data: [DON")],
  ["has no finish_reason", "content", stream(FIRST, DONE)],
  ["has a finish_reason of null only", "content", stream(FIRST, sse(chunk("")), DONE)],
  [
    "has the words of a finish_reason in the model's text only",
    "content",
    stream(sse(chunk('"finish_reason":"stop"')), DONE),
  ],
  ["tells an error", "content", stream(FIRST, sse({ error: { message: "broken" } }))],
  ["tells an error and then [DONE]", "content", stream(FIRST, END, sse({ error: { message: "x" } }), DONE)],
  ["goes on after [DONE]", "content", stream(FIRST, END, DONE, FIRST)],
  ["has a broken last event", "content", stream(FIRST, 'data: {"finish_reason":"stop"\n\n', DONE)],
  ["is empty", "content", stream()],
  ["is refused", "status", (response) => sendJson(response, { error: {} }, 503)],
];

describe("a request without stream counts as failed when it is answered by", () => {
  test.each(JSON_ANSWERS)("%s", async (_name, kind, answer) => {
    const { url, arrived } = await startServer((_request, response) => answer(response));
    const stats = await loadOf(url, { streamShare: 0, maxRequests: 4 });
    expect(stats).toMatchObject({ started: 4, succeeded: 0, failed: 4, inFlight: 0, skipped: 0 });
    expect(stats.failures.map((failure) => failure.kind)).toEqual([kind, kind, kind, kind]);
    // Nothing is sent twice.
    expect(arrived).toHaveLength(4);
  });
});

describe("a streamed request counts as failed when its answer", () => {
  test.each(STREAMS)("%s", async (_name, kind, answer) => {
    const { url, arrived } = await startServer((_request, response) => answer(response));
    const stats = await loadOf(url, { streamShare: 1, maxRequests: 4 });
    expect(stats).toMatchObject({ started: 4, succeeded: 0, failed: 4, inFlight: 0, skipped: 0 });
    expect(stats.failures.map((failure) => failure.kind)).toEqual([kind, kind, kind, kind]);
    expect(arrived).toHaveLength(4);
  });
});

describe("a streamed request counts as succeeded when its answer", () => {
  test.each([
    ["comes in one piece", [FIRST + END + DONE]],
    ["has spaces in its JSON", [FIRST, 'data: {"choices": [{"finish_reason": "length"}]}\n\n', DONE]],
    ["has lines that end with CR LF", [FIRST, END, DONE].map((event) => event.replaceAll("\n", "\r\n"))],
    ["ends with its usage", [FIRST, END, sse({ choices: [], usage: {} }), DONE]],
    ["has comments between its events", [": ping\n\n", FIRST, END, ": ping\n\n", DONE]],
  ])("%s", async (_name, events) => {
    const { url } = await startServer((_request, response) => stream(...events)(response));
    expect(await loadOf(url, { streamShare: 1, maxRequests: 4 })).toMatchObject({ succeeded: 4, failed: 0 });
  });

  test("comes byte by byte", async () => {
    const bytes = [...Buffer.from(sse(chunk("grüß")) + END + DONE)].map((byte) => Buffer.from([byte]));
    const { url } = await startServer((_request, response) => {
      beginStream(response);
      const next = (index: number) => {
        const byte = bytes[index];
        if (byte) response.write(byte, () => next(index + 1));
        else response.end();
      };
      next(0);
    });
    expect(await loadOf(url, { streamShare: 1, maxRequests: 2 })).toMatchObject({ succeeded: 2, failed: 0 });
  });
});

describe("a server that", () => {
  test("is not there fails every request", async () => {
    const stats = await loadOf(await deadUrl(), { maxRequests: 4 });
    expect(stats).toMatchObject({ started: 4, failed: 4 });
    expect(stats.failures[0]).toMatchObject({
      kind: "connection",
      detail: expect.stringContaining("ECONNREFUSED"),
    });
    expect(stats.byRelease).toEqual({ none: { succeeded: 0, failed: 4, lastAt: 0 } });
  });

  test("never answers fails every request when the time to answer is over", async () => {
    const { url } = await startServer(() => undefined);
    const stats = await loadOf(url, { maxRequests: 4, timeoutMs: 100 });
    expect(stats).toMatchObject({ started: 4, succeeded: 0, failed: 4 });
    expect(new Set(stats.failures.map(({ kind }) => kind))).toEqual(new Set(["timeout"]));
  });

  test("falls silent within a stream fails it", async () => {
    const { url } = await startServer((_request, response) => {
      response.setHeader("x-release", "r7");
      beginStream(response);
      response.write(FIRST);
    });
    const stats = await loadOf(url, { streamShare: 1, maxRequests: 2, timeoutMs: 100 });
    expect(stats.failures.map(({ kind }) => kind)).toEqual(["timeout", "timeout"]);
    expect(stats.byRelease).toMatchObject({ r7: { succeeded: 0, failed: 2 } });
  });

  test("fails some requests has only those counted, and the first 20 told", async () => {
    const { url } = await startSimulator("--sim-fault=cut=2", "--sim-fault-rate=0.5");
    const stats = await loadOf(url, { maxRequests: 120, ratePerSecond: 1000 });
    expect(stats.succeeded + stats.failed).toBe(120);
    expect(stats.failed).toBeGreaterThan(30);
    expect(stats.succeeded).toBeGreaterThan(30);
    expect(stats.failures).toHaveLength(20);
    expect(stats.failures.every(({ at }) => Math.abs(at - Date.now()) < 60_000)).toBe(true);
    expect(stats.latency.count).toBe(stats.succeeded);
  });
});

describe("a held stream that breaks", () => {
  test("counts as failed, and another one takes its place", async () => {
    let asked = 0;
    const { url } = await startServer((_request, response) => {
      asked += 1;
      if (asked === 1) cutAfter(FIRST)(response);
      else beginStream(response);
    });
    const load = startLoad(
      settings(url, { ratePerSecond: 0.001, heldStreams: 1, maxInFlight: 1, drainMs: 0 }),
    );
    await until(() => load.stats().started >= 3);
    expect(load.stats().failures[0]?.kind).toBe("truncated");
    expect(load.stats().failed).toBe(1);
    await load.stop();
  });
});
