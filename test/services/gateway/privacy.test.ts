import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PATHS } from "../../../services/gateway/contract.ts";
import { type Collector, startCollector } from "./collector.ts";
import { type GatewayProcess, startGatewayProcess } from "./process.ts";
import {
  answerChat,
  chatBody,
  EMBEDDER,
  type FakeReplica,
  KEY,
  post,
  startReplica,
  until,
} from "./support.ts";

// What no log, metric or trace may hold, each where a client can put it.
const PROMPT = "my diagnosis is gout";
const USER = "grace.hopper";
const MAIL = "ada@lovelace.example";
const FOREIGN_KEY = "sk-foreign-5f2c";
const BAGGAGE = "owner=babbage";
const ALL = [PROMPT, USER, MAIL, "lovelace", FOREIGN_KEY, KEY, "babbage", "Hello there", "gout"];

let replica: FakeReplica;
let collector: Collector;
let gateway: GatewayProcess;

beforeEach(async () => {
  [replica, collector] = await Promise.all([startReplica(), startCollector()]);
});
afterEach(async () => {
  gateway.signal("SIGKILL");
  await gateway.exited;
  await Promise.all([replica.close(), collector.close()]);
});

async function start(telemetry: object): Promise<void> {
  gateway = await startGatewayProcess({
    replicas: [replica.url],
    settings: { telemetry: { ...telemetry, traces: { endpoint: collector.url, ratio: 1 } } },
    env: {
      GATEWAY_LOG_LEVEL: "debug",
      GATEWAY_TELEMETRY_KEY: "a-key-to-hash-users-with",
      GATEWAY_FEEDBACK_KEY: "a-key-to-sign-tokens-with",
    },
  });
}

const personal = (more: object = {}) =>
  chatBody({ messages: [{ role: "user", name: USER, content: `${PROMPT} ${MAIL}` }], user: MAIL, ...more });

const headers = {
  "x-user-id": USER,
  "x-request-id": MAIL,
  "user-agent": MAIL,
  baggage: BAGGAGE,
  tracestate: BAGGAGE,
  cookie: MAIL,
};

/** Everything that a client can do with what is personal. */
async function askInAllWays(): Promise<void> {
  const ask = async (options: Parameters<typeof post>[1]) => {
    const answer = await post(gateway.url, { ...options, headers: { ...headers, ...options?.headers } });
    await answer.text();
  };
  replica.behave = answerChat;
  await ask({ body: personal() });
  await ask({ body: personal({ stream: true }) });
  await ask({ body: personal({ model: MAIL }) });
  await ask({ body: personal(), headers: { "x-task": MAIL } });
  await ask({ body: personal({ stream: MAIL }) });
  await ask({ body: `${personal()}, ${PROMPT}` });
  await ask({ body: personal(), headers: { authorization: `Bearer ${FOREIGN_KEY}` } });
  await ask({ body: personal(), headers: { "content-type": MAIL } });
  await ask({ body: JSON.stringify({ model: EMBEDDER, input: PROMPT }), path: PATHS.embeddings });
  await ask({ body: personal(), path: `/v1/${USER}?who=${MAIL}` });
  await ask({ body: personal(), path: PATHS.feedback });
  await ask({ body: JSON.stringify({ token: MAIL, rating: "good" }), path: PATHS.feedback });
  const get = { headers: { authorization: `Bearer ${KEY}` } };
  await (await fetch(`${gateway.url}/v1/models/${MAIL}`, get)).text();
  for (const status of [400, 404, 429, 500]) {
    replica.behave = (_, response) =>
      void response
        .writeHead(status, { "content-type": "application/json", "x-odd": MAIL })
        .end(
          JSON.stringify({ error: { message: `${PROMPT} ${MAIL}`, type: "BadRequestError", param: MAIL } }),
        );
    await ask({ body: personal() });
    await ask({ body: personal({ stream: true }) });
  }
  replica.behave = (_, response) => void response.writeHead(200).end(`${PROMPT} {`);
  await ask({ body: personal() });
  replica.behave = (_, response) => void response.destroy();
  await ask({ body: personal() });
}

/** All that the gateway has told of itself. */
async function told(): Promise<{ log: string; metrics: string; traces: string }> {
  const metrics = await (await fetch(gateway.url + PATHS.metrics)).text();
  gateway.signal("SIGTERM");
  await gateway.exited;
  return { log: gateway.output.text, metrics, traces: collector.text() };
}

describe("Requests full of what is personal, when everything about them is logged, counted and traced", () => {
  it("then none of it is told, and the log, metrics and traces still tell of each request", async () => {
    await start({});
    await askInAllWays();
    const all = await told();
    for (const [name, text] of Object.entries(all))
      for (const secret of ALL) expect(text.includes(secret), `${secret} in ${name}`).toBe(false);
    const lines = gateway.log.filter(({ event }) => event === "request");
    expect(lines).toHaveLength(23);
    expect(collector.spans.filter(({ kind }) => kind === 2)).toHaveLength(23);
    // Nor is anybody told by a hash, for the settings do not say so.
    expect(lines.filter((line) => "user" in line)).toEqual([]);
    expect(collector.spans.filter(({ attributes }) => "user.id" in attributes)).toEqual([]);
    expect(lines[0]).toMatchObject({
      level: 30,
      service: "gateway",
      release: "r1",
      color: "blue",
      tenant: "acme",
      project: "default",
      keyId: "key-1",
      endpoint: PATHS.chatCompletions,
      model: "chat-model",
      backend: expect.any(String),
      attempts: 1,
      status: 200,
      stream: false,
      latencyMs: expect.any(Number),
      promptTokens: 11,
      completionTokens: 3,
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      msg: "request",
    });
    expect(lines[1]).toMatchObject({ stream: true, ttftMs: expect.any(Number) });
    expect(lines[2]).toMatchObject({ model: "unknown", status: 404, error: "model_not_found" });
  });

  it("then where the settings say so, users are there as a hash and prompts in traces, but in no log", async () => {
    await start({ users: true, captureContent: true });
    replica.behave = answerChat;
    for (let index = 0; index < 2; index += 1)
      await (await post(gateway.url, { body: personal(), headers })).text();
    await (await post(gateway.url, { body: personal(), headers: { "x-user-id": "another" } })).text();
    await until(() => gateway.log.filter(({ event }) => event === "request").length === 3);
    const { log, metrics, traces } = await told();
    const users = gateway.log.filter(({ event }) => event === "request").map(({ user }) => user);
    expect(users[0]).toMatch(/^[0-9a-f]{16}$/);
    expect([users[0] === users[1], users[0] === users[2]]).toEqual([true, false]);
    for (const secret of ALL) expect(log.includes(secret) || metrics.includes(secret), secret).toBe(false);
    expect(traces).toContain(PROMPT);
    expect(traces).toContain("Hello there");
    expect(collector.spans.find(({ kind }) => kind === 2)?.attributes["user.id"]).toBe(users[0]);
    expect(collector.spans.map(({ attributes }) => attributes["user.id"])).not.toContain(USER);
  });
});
