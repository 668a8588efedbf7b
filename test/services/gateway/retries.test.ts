import { createServer } from "node:http";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
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
  type FakeReplica,
  MODEL,
  metric,
  payloads,
  post,
  sendJson,
  sse,
  startReplica,
  startTestGateway,
  until,
} from "./support.ts";

const STREAM = chatBody({ stream: true });
const SOON = { baseSeconds: 0.01, maxSeconds: 0.05 };

let replica: FakeReplica;
let other: FakeReplica;
let gateway: RunningGateway | undefined;

beforeEach(async () => {
  [replica, other] = await Promise.all([startReplica(), startReplica()]);
});

afterEach(async () => {
  await gateway?.close();
  await Promise.all([replica.close(), other.close()]);
});

interface Start {
  readonly replicas?: readonly string[];
  readonly retry?: object;
  readonly breaker?: object;
  readonly models?: object;
  readonly resilience?: object;
  readonly idleSeconds?: string;
}

async function start(options: Start = {}): Promise<string> {
  const { replicas = [replica.url], retry, breaker = { failures: 1_000 }, models = {}, resilience } = options;
  gateway = await startTestGateway({
    replicas,
    settings: {
      resilience: { retry: { ...SOON, ...retry }, breaker, ...resilience },
      models: { [MODEL]: models },
    },
    env: { GATEWAY_STREAM_IDLE_TIMEOUT_SECONDS: options.idleSeconds ?? "10" },
  });
  const { url } = gateway;
  await until(async () => (await metric(url, METRICS.replicasHealthy.name, { model: MODEL })) > 0).catch(
    () => {},
  );
  return url;
}

/** Behaves in one way for the first requests, then answers. */
function atFirst(times: number, behave: Behaviour): Behaviour {
  let count = 0;
  return (request, response) => {
    count += 1;
    return count <= times ? behave(request, response) : answerChat(request, response);
  };
}

const retries = (url: string, reason: string) => metric(url, METRICS.retries.name, { model: MODEL, reason });

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

describe("the deadline", () => {
  const DEADLINE = { deadlineSeconds: 0.6 };
  // The machine may be busy; what hangs would hang for ever.
  const SOON_AFTER_MS = 2_500;

  async function trickle(response: Parameters<Behaviour>[1], text: string): Promise<void> {
    while (!response.destroyed) {
      response.write(text);
      await wait(20);
    }
  }

  test.each<readonly [string, boolean, Behaviour]>([
    ["answers nothing", false, () => undefined],
    ["answers nothing", true, () => undefined],
    ["stops after its head", false, (_, response) => void response.writeHead(200).flushHeaders()],
    ["stops after its head", true, (_, response) => beginStream(response)],
    ["stops in its body", false, (_, response) => void response.writeHead(200).write('{"id"')],
    ["trickles a body", false, (_, response) => trickle(response, " ")],
    ["trickles an error's body", false, (_, response) => trickle(response.writeHead(500), " ")],
    [
      "trickles its first event",
      true,
      (_, response) => {
        beginStream(response);
        return trickle(response, "d");
      },
    ],
    ["fails again and again", false, (_, response) => sendJson(response, {}, 500)],
  ])("when a backend %s (streamed: %s), then the request ends, and its work", async (_, stream, behave) => {
    replica.behave = behave;
    other.behave = behave;
    const url = await start({
      replicas: [replica.url, other.url],
      models: DEADLINE,
      retry: { tries: 10, baseSeconds: 0.3, maxSeconds: 0.3 },
    });
    const before = performance.now();
    const response = await post(url, { body: chatBody({ stream }) });
    expect(response.status).toBeGreaterThanOrEqual(500);
    expect(performance.now() - before).toBeLessThan(SOON_AFTER_MS);
    await until(async () => (await metric(url, METRICS.activeRequests.name, { model: MODEL })) === 0);
    for (const { aborted } of replica.received) await aborted;
  });

  async function tcp(onConnection: (socket: Socket) => void): Promise<string> {
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const sockets = new Set<Socket>();
    server.on("connection", (socket) => sockets.add(socket));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  test.each<readonly [string, (socket: Socket) => void]>([
    ["accepts and says nothing", () => undefined],
    ["talks no HTTP", (socket) => void socket.write("HELLO\r\n\r\n")],
    [
      "sends a head without end",
      (socket) => void socket.write(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(1_000_000)}\r\n\r\n`),
    ],
    ["stops in its head", (socket) => void socket.write("HTTP/1.1 200 OK\r\ncontent-")],
    [
      "informs for ever",
      (socket) => {
        const timer = setInterval(() => socket.write("HTTP/1.1 103 Early Hints\r\n\r\n"), 20);
        socket.on("close", () => clearInterval(timer));
      },
    ],
  ])("when a backend %s, then the request ends", async (_, onConnection) => {
    gateway = await startTestGateway({
      replicas: [await tcp(onConnection)],
      settings: { resilience: { retry: SOON }, models: { [MODEL]: DEADLINE } },
    });
    for (const stream of [false, true]) {
      const before = performance.now();
      const response = await post(gateway.url, { body: chatBody({ stream }) });
      expect(response.status).toBeGreaterThanOrEqual(500);
      expect(performance.now() - before).toBeLessThan(SOON_AFTER_MS);
    }
  });

  test("when a backend's queue of connections is full, then the request ends", async () => {
    // One connection is taken, one waits; the system answers no further one.
    const server = createTcpServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 });
    await until(() => server.listening);
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const sockets = Array.from({ length: 8 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    gateway = await startTestGateway({
      replicas: [`http://127.0.0.1:${port}`],
      settings: { resilience: { retry: SOON }, models: { [MODEL]: DEADLINE } },
    });
    const before = performance.now();
    expect((await post(gateway.url)).status).toBeGreaterThanOrEqual(500);
    expect(performance.now() - before).toBeLessThan(SOON_AFTER_MS);
  });

  test("when one try may take less, then another one is made in time", async () => {
    replica.behave = atFirst(1, () => undefined);
    const url = await start({ models: { timeoutSeconds: 0.3 } });
    expect((await post(url)).status).toBe(200);
    expect(await retries(url, "timeout")).toBe(1);
    expect(await replica.received[0]?.aborted).toBe(true);
  });

  test("when a stream lasts longer than any may, then it ends with an error event", async () => {
    replica.behave = async (_, response) => {
      beginStream(response);
      while (!response.destroyed) {
        response.write(sse(chunk("word")));
        await wait(20);
      }
    };
    const url = await start({ resilience: { maxStreamSeconds: 0.8 } });
    const text = await (await post(url, { body: STREAM })).text();
    expect(payloads(text).at(-1)).toMatchObject({ error: { code: "timeout" } });
    expect(await replica.received[0]?.aborted).toBe(true);
  });
});

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
    gateway = await startTestGateway({
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
