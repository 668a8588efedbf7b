import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { closedUrl, routerTo, setTraffic, startBackend, startTestRouter, until, urlOf } from "./support.ts";

describe("when one side goes", () => {
  test.each([
    ["before the answer", false],
    ["in a stream", true],
  ])("the client, when it leaves %s, then the backend sees the end", async (_when, streaming) => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const backend = await startBackend("blue", (_request, response) => {
      response.once("close", resolve);
      if (streaming) response.write("first");
      start();
    });
    const router = await routerTo(backend.url);
    const request = httpRequest(router.url).end();
    request.on("error", () => undefined);
    await (streaming ? once(request, "response") : started);
    request.destroy();
    await aborted;
  });

  test("the backend, when it breaks off in a stream, then the client's answer is cut, not ended", async () => {
    const backend = await startBackend("blue", (request, response) => {
      response.write("first", () => request.socket.destroy());
    });
    const router = await routerTo(backend.url);
    const response = await fetch(router.url);
    await expect(response.text()).rejects.toThrow();
  });

  test("every backend, when it refuses connections, then 503 in OpenAI's shape without any address", async () => {
    const url = await closedUrl();
    const router = await routerTo(url);
    const response = await fetch(router.url, { method: "POST", body: "{}" });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    const body = await response.text();
    expect(JSON.parse(body)).toEqual({
      error: {
        message: expect.any(String),
        type: "server_error",
        param: null,
        code: "service_unavailable",
      },
    });
    expect(body).not.toContain(new URL(url).port);
    expect(body).not.toContain("127.0.0.1");
  });

  test.each([10, 200_000])(
    "a color, when it refuses connections, then the other one answers a body of %i bytes",
    async (size) => {
      const router = await startTestRouter();
      const green = await startBackend("green", async (request, response) =>
        response.end(await text(request)),
      );
      await setTraffic(router.adminUrl, {
        blue: { url: await closedUrl(), weight: 99 },
        green: { url: green.url, weight: 1 },
      });
      const body = "x".repeat(size);
      for (let i = 0; i < 20; i += 1) {
        const response = await fetch(router.url, { method: "POST", body });
        expect([response.status, (await response.text()).length]).toEqual([200, size]);
      }
    },
  );

  test("a color, when it refuses connections and the other has weight 0, then the other is left alone", async () => {
    const router = await startTestRouter();
    const green = await startBackend("green");
    await setTraffic(router.adminUrl, {
      blue: { url: await closedUrl(), weight: 100 },
      green: { url: green.url, weight: 0 },
    });
    expect((await fetch(router.url)).status).toBe(503);
  });

  test.each([
    ["GET", 200, 3],
    ["POST", 503, 2],
  ])(
    "%s, when a kept connection turns out dead, then status %i after %i deliveries",
    async (method, status, deliveries) => {
      let seen = 0;
      const server = createTcpServer((socket) => {
        let onThisConnection = 0;
        socket.on("error", () => undefined);
        socket.on("data", () => {
          seen += 1;
          onThisConnection += 1;
          if (onThisConnection === 1) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
          else socket.destroy();
        });
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      onTestFinished(() => void server.close());
      const router = await routerTo(urlOf(server));
      await (await fetch(router.url)).text();
      const response = await fetch(router.url, { method });
      expect([response.status, seen]).toEqual([status, deliveries]);
    },
  );

  test.each([
    ["breaks off", undefined, 503],
    ["answers early", "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", 413],
  ])(
    "the backend, when it %s in an upload, then the client keeps its connection",
    async (_how, answer, status) => {
      const server = createTcpServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => (answer === undefined ? socket.destroy() : socket.write(answer)));
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      onTestFinished(() => {
        agent.destroy();
        server.close();
      });
      const router = await routerTo(urlOf(server));
      for (const reused of [false, true]) {
        const headers = { "content-length": "900000" };
        const request = httpRequest(router.url, { method: "POST", agent, headers });
        request.end(Buffer.alloc(900_000));
        const [response]: IncomingMessage[] = await once(request, "response");
        expect([response?.statusCode, request.reusedSocket]).toEqual([status, reused]);
        response?.resume();
        await once(request, "close");
      }
    },
  );

  test("a client, when 503 answers an upload that was not read, then it still gets the answer", async () => {
    const router = await routerTo(await closedUrl());
    const request = httpRequest(router.url, { method: "POST", headers: { "content-length": "1000000" } });
    request.write("start");
    const [response]: IncomingMessage[] = await once(request, "response");
    expect(response?.statusCode).toBe(503);
    request.destroy();
    await until(() => request.destroyed);
  });
});
