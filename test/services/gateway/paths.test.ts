import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  chatBody,
  EMBEDDER,
  errorOf,
  type FakeReplica,
  KEY,
  MODEL,
  post,
  startReplica,
  startTestGateway,
} from "./support.ts";

let replica: FakeReplica;
let gateway: RunningGateway;

beforeAll(async () => {
  replica = await startReplica();
  gateway = await startTestGateway({ replicas: [replica.url] });
});

beforeEach(() => {
  replica.received.length = 0;
});

afterAll(async () => {
  await gateway.close();
  await replica.close();
});

describe("models", () => {
  const headers = { authorization: `Bearer ${KEY}` };

  test("the list has chat models first", async () => {
    const response = await fetch(`${gateway.url}/v1/models`, { headers });
    expect(await response.json()).toMatchObject({
      object: "list",
      data: [
        { id: MODEL, object: "model", owned_by: "llm-platform" },
        { id: EMBEDDER, object: "model" },
      ],
    });
  });

  test("one model is described by its name", async () => {
    const response = await fetch(`${gateway.url}/v1/models/${MODEL}`, { headers });
    expect(await response.json()).toMatchObject({ id: MODEL, object: "model" });
  });

  test.each(["no-such", "a/b", "%2e%2e%2fhealth"])("model %s does not exist", async (name) => {
    const response = await fetch(`${gateway.url}/v1/models/${name}`, { headers });
    expect(await errorOf(response)).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
  });

  test("a chat with an unknown model is answered 404 and does not say which models exist", async () => {
    const error = await errorOf(await post(gateway.url, { body: chatBody({ model: "gpt-nope" }) }));
    expect(error).toMatchObject({ status: 404, code: "model_not_found" });
    expect(error.message).not.toContain(MODEL);
  });

  test.each([
    ["/v1/chat/completions", chatBody({ model: EMBEDDER })],
    ["/v1/embeddings", JSON.stringify({ model: MODEL, input: "x" })],
  ])("%s with a model for something else is an invalid request", async (path, body) => {
    const error = await errorOf(await post(gateway.url, { path, body }));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param: "model" });
  });
});

describe("the release that answered", () => {
  const headers = { authorization: `Bearer ${KEY}` };

  test.each([
    ["a chat", "/v1/chat/completions", { method: "POST", body: chatBody() }],
    ["a stream", "/v1/chat/completions", { method: "POST", body: chatBody({ stream: true }) }],
    ["the models", "/v1/models", {}],
    ["an unknown model", "/v1/models/nope", {}],
    ["an unknown path", "/v1/nope", {}],
    ["a path that cannot be decoded", "/v1/models/%zz", {}],
    ["a wrong method", "/v1/chat/completions", {}],
    ["a missing key", "/v1/models", { headers: {} }],
  ])("is named in the answer to %s", async (_, path, init) => {
    const typed = { ...headers, "content-type": "application/json" };
    const response = await fetch(gateway.url + path, { headers: typed, ...init });
    expect(response.headers.get("x-release")).toBe("r1");
    await response.text();
  });
});

describe("paths and methods", () => {
  const headers = { authorization: `Bearer ${KEY}` };

  test.each(["/", "/v2/models", "/v1x", "/invocations", "/tokenize", "/version", "/health/x", "/%zz"])(
    "%s does not exist",
    async (path) => {
      expect(await errorOf(await fetch(gateway.url + path, { headers }))).toMatchObject({
        status: 404,
        code: "not_found",
      });
      expect(replica.received).toHaveLength(0);
    },
  );

  test.each(["/v1/load_lora_adapter", "/v1/responses", "/v1/"])(
    "%s of the engine is not reachable",
    async (path) => {
      expect(await errorOf(await post(gateway.url, { path }))).toMatchObject({
        status: 404,
        code: "not_found",
      });
      expect(replica.received).toHaveLength(0);
    },
  );

  test.each([
    ["GET", "/v1/chat/completions", "POST"],
    ["PUT", "/v1/embeddings", "POST"],
    ["POST", "/v1/models", "GET, HEAD"],
    ["DELETE", "/v1/models/x", "GET, HEAD"],
    ["POST", "/health", "GET, HEAD"],
    ["POST", "/metrics", "GET, HEAD"],
  ])("%s %s is not allowed", async (method, path, allow) => {
    const response = await fetch(gateway.url + path, { method, headers });
    expect(response.headers.get("allow")).toBe(allow);
    expect(await errorOf(response)).toMatchObject({ status: 405, code: "method_not_allowed" });
  });
});
