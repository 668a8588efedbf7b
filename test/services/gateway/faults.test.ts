import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  answerChat,
  CHAT_ANSWER,
  deadUrl,
  errorOf,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  sendJson,
  startReplica,
  startTestGateway,
  type TestGatewayOptions,
  until,
} from "./support.ts";

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

// What one try does; retries.test.ts shows what more of them do.
const ONE_TRY = { resilience: { retry: { tries: 1 } } };

async function start(options: Partial<TestGatewayOptions> = {}): Promise<string> {
  const settings = options.replicas ? {} : ONE_TRY;
  gateway = await startTestGateway({ replicas: [replica.url], settings, ...options });
  return gateway.url;
}

const failures = (url: string, reason: string) => metric(url, "gateway_upstream_failures_total", { reason });

describe("an error of the replica", () => {
  const vllm = (message: string, type: string, code: number) => ({
    error: { message, type, param: null, code },
  });

  test.each([
    [400, 400, "invalid_request", undefined],
    [422, 400, "invalid_request", undefined],
    [404, 404, "model_not_found", undefined],
    [413, 413, "request_too_large", undefined],
    [429, 503, "model_overloaded", "overloaded"],
    [503, 503, "model_overloaded", "overloaded"],
    [504, 504, "timeout", "timeout"],
    [401, 500, "server_error", "status"],
    [403, 500, "server_error", "status"],
    [405, 500, "server_error", "status"],
    [302, 500, "server_error", "status"],
    [201, 500, "server_error", "status"],
    [500, 500, "server_error", "status"],
    [502, 500, "server_error", "status"],
  ])("%i becomes %i %s, without the replica's words", async (status, expected, code, reason) => {
    replica.behave = (_, response) =>
      sendJson(response, vllm("secret detail", "InternalServerError", status), status);
    const url = await start();
    const response = await post(url);
    expect(response.headers.get("retry-after")).toBe(expected === 503 ? "1" : null);
    expect(response.headers.get("x-should-retry")).toBe(expected === 504 ? "false" : null);
    const error = await errorOf(response);
    expect(error).toMatchObject({ status: expected, code });
    expect(error.message).not.toContain("secret");
    if (reason) expect(await failures(url, reason)).toBe(1);
  });

  test("a Retry-After of the replica is passed on, within a minute", async () => {
    const url = await start();
    for (const [given, expected] of [
      ["7", "7"],
      ["3600", "60"],
      ["soon", "1"],
    ]) {
      replica.behave = (_, response) => {
        response.setHeader("retry-after", given ?? "");
        sendJson(response, {}, 503);
      };
      expect((await post(url)).headers.get("retry-after")).toBe(expected);
    }
  });

  test("vLLM's explanation of a bad request reaches the client, with the field and without its notation", async () => {
    const told = "max_tokens must be at least 1, got -1.";
    const message = `${told} (parameter=max_tokens, value=-1)`;
    const error = { message, type: "BadRequestError", param: "max_tokens", code: 400 };
    replica.behave = (_, response) => sendJson(response, { error }, 400);
    expect(await errorOf(await post(await start()))).toEqual({
      status: 400,
      type: "invalid_request_error",
      code: "invalid_request",
      message: told,
      param: "max_tokens",
    });
  });

  test.each([
    ["a URL", "could not fetch http://10.1.2.3/x"],
    ["an address", "connection to 10.1.2.3 failed"],
    ["a path", "cannot read /models/tiny/config.json"],
    ["a stack", "bad value\n  File engine.py line 3"],
    ["an engine's setting", "n must be at most 4, got 5. To raise it, set VLLM_MAX_N_SEQUENCES."],
    ["how to set the engine up", "n is too large. Change it with an environment variable."],
    ["a flag of the engine", '"auto" tool choice requires --enable-auto-tool-choice to be set'],
    ["a novel", "x".repeat(501)],
  ])("a message that holds %s is replaced by the catalogue's", async (_, message) => {
    replica.behave = (_request, response) => sendJson(response, vllm(message, "BadRequestError", 400), 400);
    expect((await errorOf(await post(await start()))).message).toBe("The request is invalid.");
  });
});

describe("a broken answer", () => {
  test.each([
    ["no JSON", "<html>"],
    ["no object", '"text"'],
    ["cut JSON", '{"id":'],
  ])("%s is a server error", async (_, body) => {
    replica.behave = (_request, response) => void response.end(body);
    expect(await errorOf(await post(await start()))).toMatchObject({ status: 500, code: "server_error" });
  });

  test("a connection that is reset in the middle is a server error, not a part of an answer", async () => {
    replica.behave = (_, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
      response.write('{"id":', () => response.socket?.resetAndDestroy());
    };
    const url = await start();
    expect(await errorOf(await post(url))).toMatchObject({ status: 500, code: "server_error" });
    expect(await failures(url, "reset")).toBe(1);
  });

  test("usage that makes no sense is not counted and does no harm", async () => {
    replica.behave = (_, response) => sendJson(response, { ...CHAT_ANSWER, usage: { prompt_tokens: -5 } });
    const url = await start();
    expect((await post(url)).status).toBe(200);
    expect(await metric(url, "gateway_tokens_total", { model: MODEL })).toBe(0);
  });
});

describe("time", () => {
  test("an answer that is not complete at the deadline is 504, and the replica's work ends", async () => {
    replica.behave = () => undefined;
    const url = await start({ env: { GATEWAY_REQUEST_TIMEOUT_SECONDS: "0.2" } });
    expect(await errorOf(await post(url))).toMatchObject({ status: 504, code: "timeout" });
    expect(await replica.received[0]?.aborted).toBe(true);
    expect(await failures(url, "timeout")).toBe(1);
    expect(await metric(url, "gateway_active_requests", { model: MODEL })).toBe(0);
  });

  test("a client that leaves ends the replica's work at once", async () => {
    replica.behave = () => undefined;
    const url = await start();
    const leaving = new AbortController();
    const answer = post(url, { signal: leaving.signal }).catch(() => "left");
    await until(() => replica.received.length === 1);
    const left = performance.now();
    leaving.abort();
    expect(await answer).toBe("left");
    expect(await replica.received[0]?.aborted).toBe(true);
    expect(performance.now() - left).toBeLessThan(1_000);
    await until(async () => (await metric(url, "gateway_requests_total", { status: "499" })) === 1);
  });
});

describe("a client that does not keep to the protocol", () => {
  async function rawAnswer(url: string, bytes: string): Promise<string> {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write(bytes);
    return text(socket);
  }

  test.each([
    ["broken HTTP", "HELLO\r\n\r\n", 400, "invalid_request"],
    ["headers without end", `GET / HTTP/1.1\r\nx: ${"x".repeat(100_000)}\r\n\r\n`, 431, "headers_too_large"],
    ["a URL without end", `GET /${"x".repeat(100_000)} HTTP/1.1\r\n\r\n`, 431, "headers_too_large"],
    [
      "a body that does not arrive in time",
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\n` +
        'content-type: application/json\r\ncontent-length: 100\r\n\r\n{"model"',
      400,
      "invalid_request",
    ],
  ])("%s is answered in the API's shape, and the connection is closed", async (_, bytes, status, code) => {
    const url = await start({ env: { GATEWAY_REQUEST_TIMEOUT_SECONDS: "0.3" } });
    const [head, body] = (await rawAnswer(url, bytes)).split("\r\n\r\n");
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toContain("\r\nx-release: r1");
    expect(JSON.parse(body ?? "")).toMatchObject({ error: { type: "invalid_request_error", code } });
    expect((await post(url)).status).toBe(200);
  });

  test("headers of 32 kB, which the router lets pass with its own, are no fault", async () => {
    const headers = { "x-long": "x".repeat(32 * 1024), "x-forwarded-for": "10.0.0.1" };
    expect((await post(await start(), { headers })).status).toBe(200);
  });
});

describe("several replicas", () => {
  test("one that dies between two probes is passed over and left alone for a while", async () => {
    const url = await start({
      replicas: [other.url, replica.url],
      env: { GATEWAY_PROBE_INTERVAL_SECONDS: "60" },
    });
    await until(async () => (await metric(url, "gateway_replicas_healthy", { model: MODEL })) === 2);
    await other.close();
    for (let index = 0; index < 20; index += 1) expect((await post(url)).status).toBe(200);
    expect(await failures(url, "refused")).toBeLessThanOrEqual(1);
    expect(replica.received).toHaveLength(20);
  });

  test("one that drops the connection before it answers is passed over", async () => {
    replica.behave = (_, response) => void response.socket?.resetAndDestroy();
    const url = await start({ replicas: [replica.url, other.url] });
    for (let index = 0; index < 10; index += 1) expect((await post(url)).status).toBe(200);
    expect(other.received).toHaveLength(10);
    expect(await failures(url, "reset")).toBe(replica.received.length);
  });

  test("all refusing is 503 and says when to come back", async () => {
    const response = await post(await start({ replicas: [await deadUrl(), await deadUrl()] }));
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "model_overloaded" });
  });

  test("each request goes to the one with the least to do", async () => {
    const gate = Promise.withResolvers<void>();
    const slow: FakeReplica["behave"] = async (request, response) => {
      await gate.promise;
      await answerChat(request, response);
    };
    replica.behave = slow;
    other.behave = slow;
    const url = await start({ replicas: [replica.url, other.url] });
    await until(async () => (await metric(url, "gateway_replicas_healthy", { model: MODEL })) === 2);
    const answers = Array.from({ length: 10 }, () => post(url));
    await until(() => replica.received.length + other.received.length === 10);
    expect([replica.received.length, other.received.length]).toEqual([5, 5]);
    expect(await metric(url, "gateway_active_requests", { model: MODEL })).toBe(10);
    gate.resolve();
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200);
  });

  test("one whose health probe fails gets nothing while another is healthy", async () => {
    replica.health = 503;
    const url = await start({ replicas: [replica.url, other.url] });
    await until(async () => (await metric(url, "gateway_replicas_healthy", { model: MODEL })) === 1);
    for (let index = 0; index < 10; index += 1) await post(url);
    expect([replica.received.length, other.received.length]).toEqual([0, 10]);
  });

  test("a replica's address may end in /v1", async () => {
    const url = await start({ replicas: [`${replica.url}/v1/`] });
    expect((await post(url)).status).toBe(200);
    expect(replica.received[0]?.path).toBe("/v1/chat/completions");
  });
});
