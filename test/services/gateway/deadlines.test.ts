import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { atFirst, launch, other, replica, retries, SOON, STREAM, start } from "./resilience-support.ts";
import {
  type Behaviour,
  beginStream,
  chatBody,
  chunk,
  MODEL,
  metric,
  payloads,
  post,
  sendJson,
  sse,
  until,
} from "./support.ts";

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
    const gateway = await launch({
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
    const gateway = await launch({
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
