import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { startLoad } from "../../../release/load/load.ts";
import {
  answerChat,
  EMBEDDER,
  KEY as GATEWAY_KEY,
  MODEL,
  sendJson,
  until,
} from "../../services/gateway/support.ts";
import { startSimulator } from "../../services/model-simulator/support.ts";
import { startColor } from "../checks/support.ts";
import { KEY, loadOf, settings, startServer } from "./support.ts";

const CHOICES = { choices: [{ index: 0, message: { content: "yes" }, finish_reason: "stop" }] };

function answerAny(body: { stream?: boolean }, response: Parameters<typeof answerChat>[1]) {
  return answerChat(
    { path: "", headers: {}, body: JSON.stringify(body), aborted: Promise.resolve(false) },
    response,
  );
}

describe("a load on a model", () => {
  test("counts every request as succeeded when all are answered well", async () => {
    const { url } = await startSimulator();
    const stats = await loadOf(url, { maxRequests: 300, ratePerSecond: 600 });
    expect(stats.failures).toEqual([]);
    expect(stats).toMatchObject({ started: 300, succeeded: 300, failed: 0, inFlight: 0 });
    expect(stats.byRelease.none).toMatchObject({ succeeded: 300, failed: 0 });
    expect(stats.latency.count).toBe(300);
    expect(stats.firstToken.count).toBe(150);
    expect(stats.latency.p95Ms).toBeGreaterThanOrEqual(stats.latency.p50Ms ?? Number.NaN);
  });

  test("loses no request of a gateway, and tells the release that answered", async () => {
    const { url } = await startColor();
    const models = { chat: MODEL, embeddings: EMBEDDER };
    const more = { key: GATEWAY_KEY, models, heldStreams: 2, heldStreamTokens: 20, maxRequests: 200 };
    const stats = await loadOf(url, more);
    expect(stats.failures).toEqual([]);
    expect(stats.byRelease).toMatchObject({ r1: { succeeded: 200, failed: 0 } });
    expect(Object.keys(stats.byRelease)).toEqual(["r1"]);
  });

  test("asks for embeddings too when a model for them is given", async () => {
    const { url, arrived } = await startServer(({ path, body }, response) => {
      if (path === "/v1/embeddings") sendJson(response, { data: [{ index: 0, embedding: [1] }] });
      else void answerAny(body, response);
    });
    const models = { chat: "tiny", embeddings: "vectors" };
    const stats = await loadOf(url, { models, embeddingsShare: 0.5, maxRequests: 100 });
    expect(stats).toMatchObject({ succeeded: 100, failed: 0 });
    const embeddings = arrived.filter(({ path }) => path === "/v1/embeddings");
    expect(embeddings.length).toBeGreaterThan(20);
    expect(embeddings.length).toBeLessThan(30);
    expect(new Set(embeddings.map(({ body }) => body.model))).toEqual(new Set(["vectors"]));
  });
});

describe("the requests of a load", () => {
  test("are streamed, and on connections of their own, in the shares that were asked for", async () => {
    const { url, arrived } = await startServer(({ body }, response) => void answerAny(body, response));
    const shares = { streamShare: 0.25, newConnectionShare: 0.4 };
    await loadOf(url, { ...shares, maxRequests: 200, maxTokens: 5 });
    const streams = arrived.filter(({ body }) => body.stream === true);
    const own = arrived.filter(({ headers }) => headers.connection === "close");
    const both = streams.filter((request) => own.includes(request));
    expect(streams.length / 200).toBeCloseTo(0.25, 1);
    expect(own.length / 200).toBeCloseTo(0.4, 1);
    expect(both.length / 200).toBeCloseTo(0.1, 1);
    expect(new Set(own.map(({ socket }) => socket)).size).toBe(own.length);
    const kept = arrived.filter((request) => !own.includes(request));
    expect(new Set(kept.map(({ socket }) => socket)).size).toBeLessThan(kept.length / 2);
    expect(arrived.every(({ headers }) => headers.authorization === `Bearer ${KEY}`)).toBe(true);
    expect(arrived.every(({ body }) => body.max_tokens === 5)).toBe(true);
  });

  test("name as many users as were asked for, or none", async () => {
    const { url, arrived } = await startServer(({ body }, response) => void answerAny(body, response));
    await loadOf(url, { users: 7, maxRequests: 50 });
    expect(new Set(arrived.map(({ headers }) => headers["x-user-id"])).size).toBe(7);
    arrived.length = 0;
    await loadOf(url, { maxRequests: 20 });
    expect(arrived.map(({ headers }) => headers["x-user-id"])).toEqual(Array(20).fill(undefined));
  });

  test("keep to a path before /v1", async () => {
    const { url, arrived } = await startServer(({ body }, response) => void answerAny(body, response));
    await loadOf(`${url}/tenants/one/`, { maxRequests: 2 });
    expect(arrived[0]?.path).toBe("/tenants/one/v1/chat/completions");
  });
});

describe("the rate of a load", () => {
  test("holds whatever the answers take", async () => {
    // Answers come after a second, as long as half of all requests are due: a closed loop would stay far behind.
    const { url } = await startServer((_request, response) => {
      setTimeout(() => sendJson(response, CHOICES), 1000);
    });
    const load = startLoad(settings(url, { ratePerSecond: 150, streamShare: 0, maxInFlight: 1000 }));
    await until(() => load.stats().started >= 300);
    const { started, skipped, seconds } = load.stats();
    expect(skipped).toBe(0);
    expect(Math.abs(started / seconds / 150 - 1)).toBeLessThan(0.05);
    expect(await load.stop()).toMatchObject({ failed: 0, inFlight: 0 });
  });

  test("holds where several requests are due between two ticks of a timer", async () => {
    const { url } = await startServer(() => undefined);
    const load = startLoad(settings(url, { ratePerSecond: 5000, maxInFlight: 1, drainMs: 0 }));
    await until(() => load.stats().skipped >= 5000);
    const { started, skipped, seconds } = load.stats();
    expect(Math.abs((started + skipped) / seconds / 5000 - 1)).toBeLessThan(0.05);
    await load.stop();
  });

  test("counts what was due as skipped when too many requests are under way", async () => {
    const held: (() => void)[] = [];
    const { url, arrived } = await startServer((_request, response) => {
      held.push(() => sendJson(response, CHOICES));
    });
    const load = startLoad(settings(url, { streamShare: 0, maxInFlight: 10 }));
    await until(() => load.stats().skipped >= 100);
    const { started, inFlight, skipped, seconds } = load.stats();
    expect([started, inFlight, arrived.length]).toEqual([10, 10, 10]);
    // Sent or skipped: everything that was due is accounted for.
    expect(Math.abs((started + skipped) / seconds / 200 - 1)).toBeLessThan(0.05);
    const stopped = load.stop();
    for (const answer of held) answer();
    expect(await stopped).toMatchObject({ started: 10, succeeded: 10, failed: 0, inFlight: 0 });
  });

  test("measures from when a request was due, not from when it could be sent", async () => {
    const { url } = await startServer((_request, response) => sendJson(response, CHOICES));
    const load = startLoad(settings(url, { ratePerSecond: 1000, streamShare: 0, maxRequests: 100 }));
    // Nothing is sent while the event loop is blocked, though it is due.
    const until = performance.now() + 300;
    while (performance.now() < until);
    await load.finished;
    expect(load.stats().latency.p50Ms).toBeGreaterThan(150);
    expect(load.stats()).toMatchObject({ started: 100, succeeded: 100, skipped: 0 });
  });
});

describe("stopping a load", () => {
  test("waits for what is under way, and starts nothing new", async () => {
    const held: (() => void)[] = [];
    const { url } = await startServer((_request, response) => {
      held.push(() => sendJson(response, CHOICES));
    });
    const load = startLoad(settings(url, { streamShare: 0, maxInFlight: 5 }));
    await until(() => held.length === 5);
    let stopped = false;
    const stopping = load.stop().then((stats) => {
      stopped = true;
      return stats;
    });
    const again = load.stop();
    const { skipped } = load.stats();
    for (const answer of held.slice(1)) answer();
    await until(() => load.stats().succeeded === 4);
    expect(stopped).toBe(false);
    held[0]?.();
    expect(await stopping).toMatchObject({ started: 5, succeeded: 5, inFlight: 0, skipped });
    expect((await again).succeeded).toBe(5);
    await load.finished;
  });

  test("leaves nothing behind that keeps a process from ending", async () => {
    const { url } = await startServer(({ body }, response) => void answerAny(body, response));
    const module = new URL("../../../release/load/load.ts", import.meta.url).href;
    const args = JSON.stringify(settings(url, { maxRequests: 5, heldStreams: 1 }));
    const script = `const { startLoad } = await import("${module}");
      const load = startLoad(${args});
      await load.finished;
      console.log(load.stats().succeeded);`;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
      timeout: 30_000,
    });
    expect((await run).stdout).toBe("5\n");
  });

  test("counts what is still under way after the time to drain as failed", async () => {
    const { url, arrived } = await startServer(() => undefined);
    const load = startLoad(settings(url, { maxInFlight: 3, drainMs: 50 }));
    await until(() => arrived.length === 3);
    const stats = await load.stop();
    expect(stats).toMatchObject({ started: 3, succeeded: 0, failed: 3, inFlight: 0 });
    expect(stats.failures.map(({ kind }) => kind)).toEqual(["unfinished", "unfinished", "unfinished"]);
  });
});

describe("held streams", () => {
  test("stay open beside the other requests, are opened anew when they end, and are waited for", async () => {
    const { url } = await startSimulator("--sim-time-per-output-token-ms=4");
    const load = startLoad(
      settings(url, { ratePerSecond: 50, heldStreams: 4, heldStreamTokens: 40, streamShare: 0 }),
    );
    // The latency is that of the other requests alone.
    const heldToTheEnd = () => load.stats().succeeded - load.stats().latency.count;
    await until(() => heldToTheEnd() >= 8 && load.stats().latency.count > 0);
    expect(load.stats().inFlight).toBeGreaterThanOrEqual(4);
    const endedBefore = heldToTheEnd();
    const stats = await load.stop();
    expect(stats).toMatchObject({ failed: 0, inFlight: 0, skipped: 0, failures: [] });
    expect(heldToTheEnd()).toBe(endedBefore + 4);
  });

  test("ask for as many tokens as were asked for, and are no part of the bound", async () => {
    const { url, arrived } = await startServer(({ body }, response) => {
      if (body.stream !== true) sendJson(response, CHOICES);
    });
    const load = startLoad(
      settings(url, { heldStreams: 3, heldStreamTokens: 77, streamShare: 0, maxInFlight: 1, drainMs: 10 }),
    );
    await until(() => load.stats().succeeded >= 3);
    const held = arrived.filter(({ body }) => body.max_tokens === 77);
    expect(held.map(({ body }) => [body.stream, body.ignore_eos])).toEqual(Array(3).fill([true, true]));
    await load.stop();
  });
});

describe("the figures by release", () => {
  test("tell who answered what, and when the last request that went there was sent", async () => {
    let release = "r1";
    const { url } = await startServer(({ body }, response) => {
      response.setHeader("x-release", release);
      void answerAny(body, response);
    });
    const load = startLoad(settings(url));
    await until(() => (load.stats().byRelease.r1?.succeeded ?? 0) >= 20);
    const switchedAt = Date.now();
    release = "r2";
    await until(() => (load.stats().byRelease.r2?.succeeded ?? 0) >= 20);
    const { byRelease, succeeded } = await load.stop();
    expect(Object.keys(byRelease)).toEqual(["r1", "r2"]);
    expect((byRelease.r1?.succeeded ?? 0) + (byRelease.r2?.succeeded ?? 0)).toBe(succeeded);
    // A request may be on its way when the server switches.
    expect(byRelease.r1?.lastAt).toBeLessThanOrEqual(switchedAt);
    expect(byRelease.r2?.lastAt).toBeGreaterThanOrEqual(switchedAt);
    expect(byRelease.r2?.lastAt).toBeLessThanOrEqual(Date.now());
  });

  test("hold no name that no release can have, however many a server makes up", async () => {
    let number = 0;
    const { url } = await startServer(({ body }, response) => {
      number += 1;
      response.setHeader("x-release", number === 1 ? "\tescape \x9b[2J" : `r${number}`);
      void answerAny(body, response);
    });
    const { byRelease, succeeded } = await loadOf(url, { maxRequests: 150, ratePerSecond: 1000 });
    expect(succeeded).toBe(150);
    expect(Object.keys(byRelease).length).toBeLessThanOrEqual(101);
    expect(Object.keys(byRelease).every((name) => /^(r\d+|other)$/.test(name))).toBe(true);
  });
});

describe("what may be loaded", () => {
  test.each([
    ["https://api.example.com", "neither loopback"],
    ["http://127.0.0.1.example.com", "neither loopback"],
    ["http://localhost.example.com", "neither loopback"],
    ["http://192.168.0.1:8080", "neither loopback"],
    ["http://[fe80::1]", "neither loopback"],
    ["ftp://127.0.0.1", "no http(s) URL"],
    ["http://user:secret@127.0.0.1", "credentials"],
  ])("is not %s", (url, problem) => {
    expect(() => startLoad(settings(url))).toThrow(problem);
    expect(() => startLoad(settings(url))).not.toThrow("secret");
  });

  test("is another origin only when it is named exactly", () => {
    const more = { allowedOrigins: ["http://load.invalid:81"] };
    expect(() => startLoad(settings("http://load.invalid:82", more))).toThrow("neither loopback");
    const load = startLoad(settings("http://load.invalid:81", { ...more, drainMs: 0 }));
    return load.stop();
  });

  test.each(["http://127.0.0.1:1", "http://127.1:1", "http://localhost:1", "http://[::1]:1"])(
    "is %s",
    async (url) => {
      const load = startLoad(settings(url, { drainMs: 0 }));
      await load.stop();
    },
  );

  test("every wrong argument is told at once, and no key", () => {
    const wrong = { key: "a secret key", ratePerSecond: 0, streamShare: 2, maxInFlight: 0.5, users: -1 };
    let message = "";
    try {
      startLoad({ ...settings("http://127.0.0.1:1"), ...wrong, models: { chat: "" } });
    } catch (error) {
      message = (error as Error).message;
    }
    for (const name of ["key", "ratePerSecond", "streamShare", "maxInFlight", "users", "models.chat"])
      expect(message).toContain(`\n${name} is`);
    expect(message).not.toContain("secret");
  });
});
