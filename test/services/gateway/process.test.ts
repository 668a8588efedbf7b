import { once } from "node:events";
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type GatewayProcess, type ProcessOptions, spawnGateway, startGatewayProcess } from "./process.ts";
import {
  beginStream,
  chatBody,
  chunk,
  environment,
  type FakeReplica,
  KEY,
  MODEL,
  payloads,
  post,
  sse,
  startReplica,
  until,
  usageChunk,
} from "./support.ts";

let replica: FakeReplica;
let gateway: GatewayProcess | undefined;

beforeEach(async () => {
  replica = await startReplica();
});

afterEach(async () => {
  gateway?.signal("SIGKILL");
  await gateway?.exited;
  gateway = undefined;
  await replica.close();
});

async function start(options: Partial<ProcessOptions> = {}): Promise<GatewayProcess> {
  gateway = await startGatewayProcess({ replicas: [replica.url], ...options });
  return gateway;
}

async function outcomeOf(url: string): Promise<string> {
  try {
    const response = await post(url);
    await response.text();
    return String(response.status);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    return cause instanceof Error && "code" in cause ? String(cause.code) : String(error);
  }
}

describe("SIGTERM", () => {
  test("lets a stream finish, then the process exits with 0", async () => {
    const gate = Promise.withResolvers<void>();
    replica.behave = async (_, response) => {
      beginStream(response);
      response.write(sse(chunk("Hello")));
      await gate.promise;
      response.end(sse(chunk("!", "stop")) + sse(usageChunk()) + sse("[DONE]"));
    };
    const { url, signal, exited, log } = await start();
    const response = await post(url, { body: chatBody({ stream: true }) });
    signal("SIGTERM");
    await until(() => log.some(({ event }) => event === "draining"));
    gate.resolve();
    expect(payloads(await response.text()).at(-1)).toBe("[DONE]");
    expect(await exited).toBe(0);
    expect(log.find(({ event }) => event === "request")).toMatchObject({ status: 200, completionTokens: 3 });
  });

  test("ends what still runs after the drain time with an error, then exits with 0", async () => {
    replica.behave = (request, response) => {
      if (!request.body.includes('"stream":true')) return;
      beginStream(response);
      response.write(sse(chunk("Hello")));
    };
    const { url, signal, exited, log } = await start({ env: { GATEWAY_DRAIN_SECONDS: "0.2" } });
    const stream = await post(url, { body: chatBody({ stream: true }) });
    const whole = post(url);
    await until(() => replica.received.length === 2);
    signal("SIGTERM");
    const events = payloads(await stream.text());
    expect(events.at(-1)).toMatchObject({ error: { code: "model_overloaded" } });
    expect((await whole).status).toBe(503);
    expect(await exited).toBe(0);
    const lines = log.filter(({ event }) => event === "request");
    expect(lines.find(({ stream: streamed }) => streamed)).toMatchObject({ status: 200, failed: "stream" });
    expect(lines.find(({ stream: streamed }) => !streamed)).toMatchObject({ status: 503, failed: "status" });
  });

  test("cuts a whole stream that its client is slow to read, and tells it as failed", async () => {
    replica.behave = (_, response) => {
      beginStream(response);
      response.end(sse(chunk("x".repeat(12 * 1024 * 1024), "stop")) + sse("[DONE]"));
    };
    const { url, signal, exited, log } = await start({ env: { GATEWAY_DRAIN_SECONDS: "0.2" } });
    const stream = await post(url, { body: chatBody({ stream: true }) });
    expect(await replica.received[0]?.aborted).toBe(false);
    signal("SIGTERM");
    expect(await exited).toBe(0);
    await expect(stream.text()).rejects.toThrow("terminated");
    expect(log.find(({ event }) => event === "request")).toMatchObject({ failed: "stream" });
  });

  test("during the delay new connections are served, readiness is gone and connections are closed", async () => {
    const { url, signal, exited, log } = await start({ env: { GATEWAY_DRAIN_DELAY_SECONDS: "0.5" } });
    signal("SIGTERM");
    await until(() => log.some(({ event }) => event === "draining"));
    const ready = await fetch(`${url}/ready`);
    expect([ready.status, await ready.json()]).toMatchObject([503, { status: "draining" }]);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const chat = await post(url);
    expect([chat.status, chat.headers.get("connection")]).toEqual([200, "close"]);
    expect(await exited).toBe(0);
  });

  test("an idle connection is still good for one request after the port has closed", async () => {
    const { url, signal, exited, log } = await start({ env: { GATEWAY_KEEP_ALIVE_SECONDS: "10" } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const chat = async () => {
      const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
      const outgoing = request(`${url}/v1/chat/completions`, { agent, method: "POST", headers });
      outgoing.end(chatBody());
      const [incoming] = await once(outgoing, "response");
      return {
        status: incoming.statusCode,
        body: await text(incoming),
        connection: incoming.headers.connection,
      };
    };
    expect(await chat()).toMatchObject({ status: 200, connection: "keep-alive" });
    signal("SIGTERM");
    await until(() => log.some(({ event }) => event === "draining"));
    await until(() =>
      fetch(`${url}/health`).then(
        () => false,
        () => true,
      ),
    );
    expect(await chat()).toMatchObject({ status: 200, connection: "close" });
    expect(await exited).toBe(0);
    agent.destroy();
  });

  test("under load no request is lost when the load balancer follows readiness", async () => {
    const { url, signal, exited } = await start({ env: { GATEWAY_DRAIN_DELAY_SECONDS: "1" } });
    const outcomes: string[] = [];
    let balanced = true;
    await until(async () => (await fetch(`${url}/ready`)).status === 200);
    const probe = until(async () => (await fetch(`${url}/ready`)).status === 503).then(() => {
      balanced = false;
    });
    const clients = Array.from({ length: 8 }, async () => {
      while (balanced) outcomes.push(await outcomeOf(url));
    });
    await until(() => outcomes.length > 50);
    signal("SIGTERM");
    await Promise.all([probe, ...clients]);
    expect(new Set(outcomes)).toEqual(new Set(["200"]));
    expect(await exited).toBe(0);
  });
});

describe("the log", () => {
  test("has one line for each request, with what operators need and nothing personal", async () => {
    const { url, log, output } = await start();
    const content = "My name is Violet Quux";
    const body = chatBody({ messages: [{ role: "user", content }], user: "violet@example.com" });
    await post(url, {
      path: "/v1/chat/completions?token=tok-in-query",
      body,
      headers: { "x-request-id": "r-1" },
    });
    await post(url, { body, headers: { "x-request-id": "r-2", authorization: "Bearer sk-wrong" } });
    await until(() => log.filter(({ event }) => event === "request").length === 2);
    expect(log.find(({ requestId }) => requestId === "r-1")).toMatchObject({
      service: "gateway",
      color: "blue",
      release: "r1",
      tenant: "acme",
      keyId: "key-1",
      model: MODEL,
      endpoint: "/v1/chat/completions",
      status: 200,
      promptTokens: 11,
      completionTokens: 3,
      latencyMs: expect.any(Number),
    });
    expect(log.find(({ requestId }) => requestId === "r-2")).toMatchObject({
      status: 401,
      error: "authentication_error",
    });
    for (const secret of ["Violet", "violet", KEY, "sk-wrong", "tok-in-query", "Hello there"]) {
      expect(output.text).not.toContain(secret);
    }
    expect(
      log
        .filter(({ event }) => event === "request")
        .every((line) => !JSON.stringify(line).includes("127.0.0.1")),
    ).toBe(true);
  });

  test("tells a client that left by its status alone: nothing failed", async () => {
    replica.behave = () => undefined;
    const { url, log } = await start();
    const leaving = new AbortController();
    const answer = post(url, { signal: leaving.signal }).catch(() => "left");
    await until(() => replica.received.length === 1);
    leaving.abort();
    expect(await answer).toBe("left");
    await until(() => log.some(({ event }) => event === "request"));
    const line = log.find(({ event }) => event === "request");
    expect(line).toMatchObject({ status: 499 });
    expect(line).not.toHaveProperty("error");
    expect(line).not.toHaveProperty("failed");
  });

  test("stays quiet about a data store that stays away", async () => {
    const env = {
      GATEWAY_REDIS_URL: "redis://:hunter2@127.0.0.1:1",
      GATEWAY_DATABASE_URL: "postgresql://u:hunter2@127.0.0.1:1/d",
    };
    const { url, log, output } = await start({ env });
    const pings = async () => (await (await fetch(`${url}/ready`)).json()) as { dependencies: unknown[] };
    for (let index = 0; index < 20; index += 1) await pings();
    await until(() => log.filter(({ event }) => event === "dependency").length === 2);
    expect(output.text).not.toContain("hunter2");
    expect(log.filter(({ level }) => Number(level) >= 40)).toHaveLength(2);
  });
});

describe("a configuration that cannot be used", () => {
  async function refused(env: Record<string, string>) {
    const { output, exited } = spawnGateway(env);
    const code = await exited;
    const lines = output.text
      .trim()
      .split("\n")
      .map((line): Record<string, string> => JSON.parse(line));
    return { code, lines, text: output.text };
  }

  test("is refused whole: every problem with field, problem and remedy, no secret, exit code 1", async () => {
    const {
      code,
      lines,
      text: output,
    } = await refused({
      ...environment({ replicas: ["http://user:hunter2@127.0.0.1:1"], apiKey: "hunter2 with spaces" }),
      GATEWAY_PORT: "99999",
      GATEWAY_COLOR: "",
      GATEWAY_REDIS_URL: "http://:hunter2@h",
      GATEWAY_DATABASE_URL: "hunter2",
      GATEWAY_KEYS: '[{"id":"k","sha256":"hunter2","tenant":"t","key":"hunter2"}]',
      GATEWAY_LOG_LEVEL: "loud",
      GATEWAY_FEEDBACK_KEY: "hunter2",
    });
    expect(code).toBe(1);
    expect(new Set(lines.map(({ field }) => field))).toEqual(
      new Set([
        "GATEWAY_PORT",
        "GATEWAY_COLOR",
        "GATEWAY_REDIS_URL",
        "GATEWAY_DATABASE_URL",
        "GATEWAY_KEYS[0]",
        "GATEWAY_KEYS[0].sha256",
        "GATEWAY_MODELS[0].replicas[0].url",
        "GATEWAY_MODELS[1].replicas[0].url",
        "GATEWAY_MODELS[0].replicas[0].apiKey",
        "GATEWAY_MODELS[1].replicas[0].apiKey",
        "GATEWAY_MODELS[0].replicas[0].apiKey",
        "GATEWAY_MODELS[1].replicas[0].apiKey",
        "GATEWAY_LOG_LEVEL",
        "GATEWAY_FEEDBACK_KEY",
      ]),
    );
    for (const { problem, remedy } of lines) {
      expect(problem).toMatch(/^(is|has|carries|holds) /);
      expect(remedy?.length).toBeGreaterThan(5);
    }
    expect(output).not.toContain("hunter2");
  });

  test("a busy port is refused by name", async () => {
    const port = new URL(replica.url).port;
    const { code, lines } = await refused({
      ...environment({ replicas: [replica.url] }),
      GATEWAY_PORT: port,
    });
    expect(code).toBe(1);
    expect(lines[0]?.field).toBe("GATEWAY_PORT");
    expect(lines[0]?.problem).toContain("in use");
  });
});
