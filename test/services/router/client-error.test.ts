import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { answerClientErrors } from "../../../services/router/client-error.ts";
import { routerTo, startBackend, urlOf } from "./support.ts";

const CHUNKED = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

function open(url: string): Socket {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function raw(url: string, bytes: string): Promise<string> {
  const socket = open(url);
  socket.write(bytes);
  return text(socket);
}

function expectRefusal(answer: string, status: number, code: string): void {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(head.toLowerCase()).toContain("connection: close");
  expect(head.toLowerCase()).toContain(`content-length: ${Buffer.byteLength(body)}`);
  expect(JSON.parse(body)).toEqual({
    error: { message: expect.any(String), type: "invalid_request_error", param: null, code },
  });
}

describe("bytes that are no whole request", () => {
  test.each([
    ["garbage", "HELLO\r\n\r\n", 400, "invalid_request"],
    ["an obsolete folding", "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400, "invalid_request"],
    ["a bare CR in a header", "GET / HTTP/1.1\r\nHost: x\rY: 1\r\n\r\n", 400, "invalid_request"],
    [
      "a length and chunks",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
      "invalid_request",
    ],
    ["a broken chunk", `${CHUNKED}zz\r\n`, 400, "invalid_request"],
    ["a long header", `GET / HTTP/1.1\r\nX: ${"y".repeat(40_000)}\r\n\r\n`, 431, "headers_too_large"],
    ["a long URL", `GET /${"y".repeat(40_000)} HTTP/1.1\r\n\r\n`, 431, "headers_too_large"],
  ])(
    "%s, when sent, then the answer has OpenAI's shape and ends the connection",
    async (_what, bytes, ...expected) => {
      const backend = await startBackend("blue", (request) => void request.resume());
      const router = await routerTo(backend.url);
      expectRefusal(await raw(router.url, bytes), ...expected);
    },
  );

  test("a head that does not arrive in time, when waited for, then it is 408", async () => {
    const server = createServer({ headersTimeout: 50, connectionsCheckingInterval: 10 });
    answerClientErrors(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    expectRefusal(await raw(urlOf(server), "GET / HTTP/1.1\r\nHost:"), 408, "request_timeout");
  });

  test("garbage, when more of it follows, then it is answered once", async () => {
    const router = await routerTo((await startBackend("blue")).url);
    const socket = open(router.url);
    socket.write("HELLO\r\n\r\n");
    await once(socket, "readable");
    socket.write("HELLO\r\n\r\n");
    expect((await text(socket)).split("HTTP/1.1")).toHaveLength(2);
  });

  test("a head of 20 MB, when the client sends all of it before it reads, then the answer arrives", async () => {
    const router = await routerTo((await startBackend("blue")).url);
    expectRefusal(
      await raw(router.url, `GET / HTTP/1.1\r\nX: ${"y".repeat(20_000_000)}\r\n\r\n`),
      431,
      "headers_too_large",
    );
  });

  test("garbage, when it comes on a connection that was used before, then it is answered too", async () => {
    const router = await routerTo((await startBackend("blue")).url);
    const socket = open(router.url);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const [first] = await once(socket.setEncoding("utf8"), "data");
    expect(first).toMatch(/^HTTP\/1\.1 200 /);
    socket.write("HELLO\r\n\r\n");
    expectRefusal(await text(socket), 400, "invalid_request");
  });

  test("garbage, when it follows a whole request, then that one is answered and the connection ends", async () => {
    const router = await routerTo((await startBackend("blue")).url);
    const answer = await raw(router.url, "GET / HTTP/1.1\r\nHost: x\r\n\r\nHELLO\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer.split("HTTP/1.1")).toHaveLength(2);
    expect(answer).toContain("blue");
  });

  test("a broken chunk, when the answer has begun, then nothing is written into it", async () => {
    const backend = await startBackend("blue", (request, response) => {
      request.resume();
      response.write("first");
    });
    const router = await routerTo(backend.url);
    const socket = open(router.url);
    socket.write(`${CHUNKED}1\r\na\r\n`);
    const [head] = await once(socket.setEncoding("utf8"), "data");
    socket.write("zz\r\n");
    let rest = "";
    socket.on("data", (data) => {
      rest += data;
    });
    await once(
      socket.on("error", () => undefined),
      "close",
    );
    expect(head).toMatch(/^HTTP\/1\.1 200 /);
    expect(rest).not.toContain("HTTP/1.1");
  });
});
