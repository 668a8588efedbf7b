import { once } from "node:events";
import { request } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  answerChat,
  CHAT_ANSWER,
  chatBody,
  EMBEDDER,
  errorOf,
  type FakeReplica,
  KEY,
  MODEL,
  post,
  sendJson,
  startReplica,
  startTestGateway,
} from "./support.ts";

let replica: FakeReplica;
let gateway: RunningGateway;

beforeAll(async () => {
  replica = await startReplica();
  gateway = await startTestGateway({
    replicas: [replica.url],
    apiKey: "engine-key",
    env: { GATEWAY_MAX_BODY_BYTES: "4096" },
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

describe("figures that decide how much a request may take", () => {
  test.each([
    ["n", "8"],
    ["n", 1.5],
    ["max_tokens", "100000"],
    ["max_tokens", -1],
    ["max_completion_tokens", true],
    ["best_of", [2]],
  ])("%s as %j: 400 that names it, and no model is asked", async (field, value) => {
    const response = await post(gateway.url, { body: chatBody({ [field]: value }) });
    expect(await errorOf(response)).toMatchObject({ status: 400, param: field });
    expect(replica.received).toHaveLength(0);
  });

  test("null, as if it was not there", async () => {
    const body = chatBody({ n: null, max_tokens: null, max_completion_tokens: null });
    expect((await post(gateway.url, { body })).status).toBe(200);
  });
});

describe("request id", () => {
  test("a plain token from the client is taken over and answered", async () => {
    const response = await post(gateway.url, { headers: { "x-request-id": "order-17.a_b" } });
    expect(response.headers.get("x-request-id")).toBe("order-17.a_b");
  });

  test.each(["a b", "-x", "x".repeat(129), "{}", "a/b"])("'%s' is replaced by a fresh id", async (id) => {
    const response = await post(gateway.url, { headers: { "x-request-id": id } });
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  });

  test("two clients with one id reach the engine under different ids", async () => {
    await Promise.all([1, 2].map(() => post(gateway.url, { headers: { "x-request-id": "same" } })));
    const ids = replica.received.map(({ headers }) => headers["x-request-id"]);
    expect(new Set(ids).size).toBe(2);
    expect(ids.every((id) => String(id).startsWith("same-"))).toBe(true);
  });

  test("an error carries it too", async () => {
    const response = await post(gateway.url, { headers: { authorization: "" } });
    expect(response.status).toBe(401);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("authentication", () => {
  test.each([
    ["no header", ""],
    ["a wrong key", "Bearer sk-wrong"],
    ["another scheme", `Basic ${KEY}`],
    ["a key without a scheme", KEY],
    ["a key and more", `Bearer ${KEY} ${KEY}`],
  ])("%s is refused and nothing reaches the engine", async (_, authorization) => {
    const response = await post(gateway.url, { headers: { authorization } });
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await errorOf(response)).toMatchObject({ status: 401, type: "authentication_error" });
    expect(replica.received).toHaveLength(0);
  });

  test("the scheme's case does not matter", async () => {
    expect((await post(gateway.url, { headers: { authorization: `bearer ${KEY}` } })).status).toBe(200);
  });

  test.each(["/v1/models", "/v1/nothing", "/v1/models/x"])("%s needs a key", async (path) => {
    expect((await fetch(gateway.url + path)).status).toBe(401);
  });

  test.each(["/health", "/ready", "/metrics", "/openapi.json"])("%s needs none", async (path) => {
    const response = await fetch(gateway.url + path);
    expect([200, 503]).toContain(response.status);
    expect(response.headers.get("www-authenticate")).toBeNull();
  });
});

describe("forwarding", () => {
  test("the body reaches the engine byte for byte, fields that the gateway does not know included", async () => {
    const body = `{ "model":"${MODEL}","messages":[{"role":"user","content":"ü\\u00fc"}], "seed":12345678901234567890,"x":{"y":1e400}}`;
    expect((await post(gateway.url, { body })).status).toBe(200);
    expect(replica.received[0]?.body).toBe(body);
  });

  test("the engine gets its own key and none of the client's headers", async () => {
    await post(gateway.url, { headers: { cookie: "a=b", "x-secret": "s", "openai-organization": "o" } });
    const headers = replica.received[0]?.headers ?? {};
    expect(headers.authorization).toBe("Bearer engine-key");
    expect(Object.keys(headers).sort()).toEqual([
      "authorization",
      "connection",
      "content-length",
      "content-type",
      "host",
      "x-request-id",
    ]);
  });

  test("the client gets the engine's answer and none of its headers", async () => {
    replica.behave = (_, response) => {
      response.setHeader("server", "uvicorn");
      response.setHeader("x-internal", "node-7");
      sendJson(response, { ...CHAT_ANSWER, extra: "kept" });
    };
    const response = await post(gateway.url);
    expect(response.headers.get("server")).toBeNull();
    expect(response.headers.get("x-internal")).toBeNull();
    expect(response.headers.get("x-powered-by")).toBeNull();
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await response.json()).toEqual({ ...CHAT_ANSWER, extra: "kept" });
  });

  test.each([
    ["/v1/completions", { model: MODEL, prompt: "Once" }],
    ["/v1/completions", { model: MODEL, prompt: [1, 2, 3] }],
    ["/v1/embeddings", { model: EMBEDDER, input: ["a", "b"] }],
  ])("%s goes to the same path of the engine", async (path, body) => {
    expect((await post(gateway.url, { path, body: JSON.stringify(body) })).status).toBe(200);
    expect(replica.received[0]?.path).toBe(path);
  });
});

describe("validation", () => {
  const message = { role: "user", content: "Hi" };
  test.each([
    ["no model", { messages: [message] }, "model"],
    ["a model that is no string", { model: 7, messages: [message] }, "model"],
    ["no messages", { model: MODEL }, "messages"],
    ["an empty list of messages", { model: MODEL, messages: [] }, "messages"],
    ["a message that is no object", { model: MODEL, messages: ["Hi"] }, "messages.0"],
    ["a message without role", { model: MODEL, messages: [message, { content: "x" }] }, "messages.1.role"],
    ["a stream that is no boolean", { model: MODEL, messages: [message], stream: "yes" }, "stream"],
    [
      "stream options without stream",
      { model: MODEL, messages: [message], stream_options: {} },
      "stream_options",
    ],
    [
      "include_usage that is no boolean",
      { model: MODEL, messages: [message], stream: true, stream_options: { include_usage: 1 } },
      "stream_options.include_usage",
    ],
  ])("%s is refused, naming the field", async (_, body, param) => {
    const error = await errorOf(await post(gateway.url, { body: JSON.stringify(body) }));
    expect(error).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      code: "invalid_request",
      param,
    });
    expect(error.message).toContain(`'${param}'`);
    expect(replica.received).toHaveLength(0);
  });

  test.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["a list", "[]"],
    ["null", "null"],
  ])("a body that is %s is refused", async (_, body) => {
    expect(await errorOf(await post(gateway.url, { body }))).toMatchObject({
      status: 400,
      code: "invalid_request",
    });
  });

  test("bytes that are no UTF-8 are refused", async () => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: Buffer.concat([Buffer.from('{"model":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
    });
    expect(await errorOf(response)).toMatchObject({ status: 400, message: "The body is not valid JSON." });
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])(
    "content type %s is an invalid request",
    async (type) => {
      const error = await errorOf(await post(gateway.url, { headers: { "content-type": type } }));
      expect(error).toMatchObject({ status: 400, code: "invalid_request" });
    },
  );

  test("a charset beside the content type is fine", async () => {
    const headers = { "content-type": "Application/JSON; charset=utf-8" };
    expect((await post(gateway.url, { headers })).status).toBe(200);
  });

  test("a compressed body is refused", async () => {
    const error = await errorOf(await post(gateway.url, { headers: { "content-encoding": "gzip" } }));
    expect(error).toMatchObject({ status: 400, code: "invalid_request" });
  });

  test("a body that announces too much is refused before it is sent", async () => {
    const headers = {
      authorization: `Bearer ${KEY}`,
      "content-type": "application/json",
      "content-length": 1_000_000_000,
    };
    const outgoing = request(`${gateway.url}/v1/chat/completions`, { method: "POST", headers });
    outgoing.on("error", () => undefined).flushHeaders();
    const [incoming] = await once(outgoing, "response");
    expect(incoming.statusCode).toBe(413);
    outgoing.destroy();
  });

  test("a body over the limit is refused, whether or not its length is announced", async () => {
    const body = chatBody({ user: "x".repeat(5000) });
    expect(await errorOf(await post(gateway.url, { body }))).toMatchObject({
      status: 413,
      code: "request_too_large",
    });
    const streamed = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: new Blob([body]).stream(),
      duplex: "half",
    });
    expect(await errorOf(streamed)).toMatchObject({ status: 413, code: "request_too_large" });
    expect(replica.received).toHaveLength(0);
  });
});
