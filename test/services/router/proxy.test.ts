import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { routerTo, settled, startBackend, startPair } from "./support.ts";

const SIZE = 50 * 1024 * 1024;
/** What sockets and streams on the way may hold while nobody reads. */
const HELD = 16 * 1024 * 1024;

/** Sends raw bytes and gives everything that comes back until the connection ends. */
async function raw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(bytes);
  return text(socket);
}

describe("headers and targets", () => {
  test("a request, when it claims another origin, then the backend sees the real one and no hop-by-hop header", async () => {
    let seen: IncomingMessage["headers"] = {};
    const backend = await startBackend("blue", (request, response) => {
      seen = request.headers;
      response.end();
    });
    const router = await routerTo(backend.url);
    const request = httpRequest(`${router.url}/v1/models?limit=2`, {
      headers: {
        connection: "keep-alive, x-hop",
        "x-hop": "1",
        te: "trailers",
        "proxy-authorization": "Basic eA==",
        upgrade: "h2c",
        forwarded: "for=10.0.0.1",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "elsewhere",
        "x-real-ip": "10.0.0.1",
        "x-request-id": "request-1",
        authorization: "Bearer key",
      },
    }).end();
    const [response] = await once(request, "response");
    await text(response);
    expect(seen).toEqual({
      host: new URL(backend.url).host,
      connection: "keep-alive",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": new URL(router.url).host,
      "x-request-id": "request-1",
      authorization: "Bearer key",
    });
  });

  test("a response, when it has repeated and hop-by-hop headers, then the first arrive apart and the second not", async () => {
    const backend = await startBackend("blue", (_request, response) => {
      response.writeHead(
        201,
        "Made",
        [
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
          ["x-hop", "1"],
          ["connection", "keep-alive, x-hop"],
          ["proxy-authenticate", "Basic"],
          ["x-request-id", "request-1"],
        ].flat(),
      );
      response.end("done");
    });
    const router = await routerTo(backend.url);
    const response = await fetch(router.url);
    expect([response.status, response.statusText, await response.text()]).toEqual([201, "Made", "done"]);
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(response.headers.get("x-hop")).toBeNull();
    expect(response.headers.get("proxy-authenticate")).toBeNull();
    expect(response.headers.get("x-request-id")).toBe("request-1");
  });

  test.each(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])(
    "%s, when it has no body, then it passes with its target",
    async (method) => {
      const backend = await startBackend("blue", (request, response) => {
        response.setHeader("x-seen", `${request.method} ${request.url}`);
        response.setHeader("content-length", "2");
        response.end("ok");
      });
      const router = await routerTo(backend.url);
      const response = await fetch(`${router.url}/a%20b?c=d`, { method });
      expect(response.headers.get("x-seen")).toBe(`${method} /a%20b?c=d`);
      expect(response.headers.get("content-length")).toBe("2");
      expect(await response.text()).toBe(method === "HEAD" ? "" : "ok");
    },
  );

  test("an upgrade, when asked for, then it is declined and the connection stays HTTP/1.1", async () => {
    const { router } = await startPair(0);
    const answer = await raw(
      router.url,
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(answer.toLowerCase()).not.toContain("upgrade");
  });

  test("Expect: 100-continue, when sent, then the client is told to go on", async () => {
    const backend = await startBackend("blue", async (request, response) =>
      response.end(await text(request)),
    );
    const router = await routerTo(backend.url);
    const headers = { expect: "100-continue", "content-length": "5" };
    const request = httpRequest(router.url, { method: "POST", headers });
    request.flushHeaders();
    await once(request, "continue");
    request.end("hello");
    const [response] = await once(request, "response");
    expect(await text(response)).toBe("hello");
  });

  test.each([
    [
      "a target that is no path",
      "GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
      400,
    ],
    ["headers beyond 32 kB", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(40_000)}\r\n\r\n`, 431],
    ["a URL beyond 32 kB", `GET /${"y".repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
    [
      "two lengths",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
    ],
    ["CONNECT", "CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n", undefined],
  ])("a request, when it has %s, then no backend sees it", async (_what, bytes, status) => {
    let seen = 0;
    const backend = await startBackend("blue", (_request, response) => {
      seen += 1;
      response.end();
    });
    const router = await routerTo(backend.url);
    const answer = await raw(router.url, bytes);
    expect(answer).toMatch(status === undefined ? /^$/ : new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(seen).toBe(0);
  });
});

describe("bodies", () => {
  test("a stream of events, when the backend pauses after each, then each arrives before the next is sent", async () => {
    let next = () => {};
    const backend = await startBackend("blue", async (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      for (let i = 0; i < 5; i += 1) {
        await new Promise<void>((resolve) => {
          next = resolve;
        });
        response.write(`data: ${i}\n\n`);
      }
      response.end();
    });
    const router = await routerTo(backend.url);
    // fetch resolves with the headers, which the backend sent before any event.
    const { body } = await fetch(router.url);
    const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let i = 0; i < 5; i += 1) {
      next();
      expect((await reader?.read())?.value).toBe(`data: ${i}\n\n`);
    }
    expect((await reader?.read())?.done).toBe(true);
  });

  test("an upload of 50 MB, when the backend does not read yet, then the client is held back and nothing is lost", async () => {
    const { promise: started, resolve: start } = Promise.withResolvers<IncomingMessage>();
    const backend = await startBackend("blue", async (request, response) => {
      const hash = createHash("sha256");
      await new Promise<void>((resolve) => {
        start(Object.assign(request, { proceed: resolve }));
      });
      for await (const chunk of request) hash.update(chunk);
      response.end(hash.digest("hex"));
    });
    const router = await routerTo(backend.url);
    const expected = createHash("sha256");
    let sent = 0;
    const source = Readable.from(
      (function* () {
        for (let chunk = Buffer.alloc(64 * 1024, 1); sent < SIZE; sent += chunk.length) {
          expected.update(chunk);
          yield chunk;
        }
      })(),
    );
    const answer = fetch(router.url, { method: "POST", body: Readable.toWeb(source), duplex: "half" });
    const request = (await started) as IncomingMessage & { proceed(): void };
    expect(await settled(() => sent)).toBeLessThan(HELD);
    request.proceed();
    expect(await (await answer).text()).toBe(expected.digest("hex"));
  });

  test("a download of 50 MB, when the client does not read yet, then the backend is held back and nothing is lost", async () => {
    let sent = 0;
    const backend = await startBackend("blue", (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024, 1);
      Readable.from(
        (function* () {
          for (; sent < SIZE; sent += chunk.length) yield chunk;
        })(),
      ).pipe(response);
    });
    const router = await routerTo(backend.url);
    const request = httpRequest(router.url).end();
    const [response]: IncomingMessage[] = await once(request, "response");
    expect(await settled(() => sent)).toBeLessThan(HELD);
    let received = 0;
    for await (const chunk of response ?? []) received += chunk.length;
    expect(received).toBe(SIZE);
  });

  test.each([0, 1, 65_536, 65_537, 300_000])(
    "a body of %i bytes, when echoed, then it comes back the same",
    async (size) => {
      const backend = await startBackend("blue", (request, response) => request.pipe(response));
      const router = await routerTo(backend.url);
      const body = Buffer.alloc(size, "abc");
      const response = await fetch(router.url, { method: "POST", body });
      expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
    },
  );
});
