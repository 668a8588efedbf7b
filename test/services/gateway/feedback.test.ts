import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { METRICS, PATHS } from "../../../services/gateway/contract.ts";
import { FeedbackTokens } from "../../../services/gateway/feedback.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { PASSWORD, type Server, startEmbedded } from "../key-value/support.ts";
import { Store } from "./store.ts";
import {
  chatBody,
  deadUrl,
  EMBEDDER,
  errorOf,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  sha256,
  startReplica,
  startTestGateway,
  until,
} from "./support.ts";

const FEEDBACK_KEY = "feedback-key-for-tests";
const OTHER_KEY = "sk-other-tenant";
const KEYS = [
  { id: "key-1", sha256: sha256(KEY), tenant: "acme" },
  { id: "key-2", sha256: sha256(OTHER_KEY), tenant: "globex" },
];

let replica: FakeReplica;
let store: Server;
let blue: RunningGateway;
let green: RunningGateway;

async function start(env: Record<string, string>): Promise<RunningGateway> {
  const common = { GATEWAY_FEEDBACK_KEY: FEEDBACK_KEY, GATEWAY_KEYS: JSON.stringify(KEYS) };
  return startTestGateway({ replicas: [replica.url], env: { ...common, ...env } });
}

beforeAll(async () => {
  replica = await startReplica();
  store = await startEmbedded();
  const redis = { GATEWAY_REDIS_URL: `redis://:${PASSWORD}@127.0.0.1:${store.port}` };
  blue = await start({ ...redis, GATEWAY_RELEASE: "r1.blue" });
  green = await start({ ...redis, GATEWAY_RELEASE: "r2", GATEWAY_COLOR: "green" });
  for (const { url } of [blue, green])
    await until(async () => (await metric(url, METRICS.dependencyUp.name, {})) === 1);
});

afterAll(async () => {
  await Promise.all([blue.close(), green.close()]);
  await store.stop();
  await replica.close();
});

async function tokenOf(url: string, options: Parameters<typeof post>[1] = {}): Promise<string> {
  const response = await post(url, options);
  await response.text();
  return response.headers.get("x-feedback-token") ?? "";
}

const TOKEN = /^r1\.blue\.[0-9a-f-]{36}\.[\w-]{43}$/;

describe("the token", () => {
  test.each([
    ["a chat", {}],
    ["a stream", { body: chatBody({ stream: true }) }],
    ["a completion", { path: PATHS.completions, body: JSON.stringify({ model: MODEL, prompt: "Once" }) }],
    ["embeddings", { path: PATHS.embeddings, body: JSON.stringify({ model: EMBEDDER, input: "x" }) }],
  ])("comes with the answer to %s and names the release", async (_, options) => {
    const [one, two] = [await tokenOf(blue.url, options), await tokenOf(blue.url, options)];
    expect(one).toMatch(TOKEN);
    expect(two).toMatch(TOKEN);
    expect(one).not.toBe(two);
  });

  test("does not come with errors or other answers", async () => {
    expect(await tokenOf(blue.url, { body: chatBody({ model: "nope" }) })).toBe("");
    const models = await fetch(blue.url + PATHS.models, { headers: { authorization: `Bearer ${KEY}` } });
    expect([models.status, models.headers.get("x-feedback-token")]).toEqual([200, null]);
  });
});

interface Vote {
  readonly rating?: unknown;
  readonly key?: string;
}

function vote(url: string, token: unknown, { rating = "bad", key = KEY }: Vote = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${key}` };
  return post(url, { path: PATHS.feedback, body: JSON.stringify({ token, rating }), headers });
}

const votes = (url: string, about: string, rating: string) =>
  metric(url, METRICS.feedback.name, { about, rating });

describe("feedback", () => {
  test("is counted for the release that gave the answer, at a gateway of another release", async () => {
    const token = await tokenOf(blue.url);
    const before = await votes(green.url, "r1.blue", "bad");
    const response = await vote(green.url, token);
    expect([response.status, response.headers.get("x-release")]).toEqual([202, "r2"]);
    expect(await response.json()).toEqual({ object: "feedback", accepted: true });
    expect(await votes(green.url, "r1.blue", "bad")).toBe(before + 1);
    expect((await vote(green.url, await tokenOf(green.url), { rating: "good" })).status).toBe(202);
    expect(await votes(green.url, "r2", "good")).toBe(1);
  });

  test("counts once for each token, whichever gateways are asked at the same time", async () => {
    const total = async () =>
      (await votes(blue.url, "r1.blue", "bad")) +
      (await votes(green.url, "r1.blue", "bad")) +
      (await votes(green.url, "r1.blue", "good"));
    const [token, before] = [await tokenOf(blue.url), await total()];
    const responses = await Promise.all([
      ...Array.from({ length: 5 }, () => vote(blue.url, token)),
      ...Array.from({ length: 5 }, () => vote(green.url, token, { rating: "good" })),
    ]);
    const answers = await Promise.all(responses.map((response) => response.json()));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([202]));
    expect(answers.filter((answer) => (answer as { accepted: boolean }).accepted)).toHaveLength(1);
    expect(await total()).toBe(before + 1);
  });

  test("of a user who complains again counts as a vote, and the user still once", async () => {
    const complaining = () => metric(green.url, METRICS.complainingUsers.name, { about: "r2" });
    const complain = async (user: string, key = KEY) => {
      const token = await tokenOf(green.url, { headers: { authorization: `Bearer ${key}` } });
      const headers = { authorization: `Bearer ${key}`, "x-user-id": user };
      const body = JSON.stringify({ token, rating: "bad" });
      expect((await post(green.url, { path: PATHS.feedback, body, headers })).status).toBe(202);
    };
    const [votesBefore, usersBefore] = [await votes(green.url, "r2", "bad"), await complaining()];
    for (const user of ["ann", "ann", "bob"]) await complain(user);
    expect(await votes(green.url, "r2", "bad")).toBe(votesBefore + 3);
    expect(await complaining()).toBe(usersBefore + 2);
  });

  test("is remembered for a week", async () => {
    const token = await tokenOf(blue.url);
    await vote(blue.url, token);
    const redis = new Redis(store.port, { password: PASSWORD });
    onTestFinished(() => redis.disconnect());
    const seconds = await redis.ttl(`feedback:${token.split(".").at(-2)}`);
    expect(seconds).toBeGreaterThan(604_700);
    expect(seconds).toBeLessThanOrEqual(604_800);
  });

  test("is refused, when the token was another tenant's; that one can still use it", async () => {
    const token = await tokenOf(blue.url);
    expect(await errorOf(await vote(blue.url, token, { key: OTHER_KEY }))).toMatchObject({
      status: 400,
      code: "invalid_request",
      param: "token",
    });
    expect(await (await vote(blue.url, token)).json()).toMatchObject({ accepted: true });
  });

  test("is refused, when any part of the token was changed or another key signed it", async () => {
    const [release = "", nonce = "", signature = ""] = (await tokenOf(green.url)).split(".");
    const flipped = (text: string) => (text.startsWith("0") ? "1" : "0") + text.slice(1);
    const wrong = [
      `r9.${nonce}.${signature}`,
      `${release}.${flipped(nonce)}.${signature}`,
      `${release}.${nonce}.${flipped(signature)}`,
      `${release}.${nonce}.`,
      `${release}.${nonce}`,
      new FeedbackTokens("another-feedback-key", "r2").issue("acme"),
      "",
      "x".repeat(257),
      7,
      undefined,
    ];
    for (const token of wrong) {
      expect(await errorOf(await vote(green.url, token)), String(token)).toMatchObject({
        status: 400,
        code: "invalid_request",
        param: "token",
      });
    }
    expect((await vote(green.url, `${release}.${nonce}.${signature}`)).status).toBe(202);
  });

  test.each([["great"], [1], [null]])("is refused, when the rating is %j", async (rating) => {
    const error = await errorOf(await vote(blue.url, await tokenOf(blue.url), { rating }));
    expect(error).toMatchObject({ status: 400, param: "rating" });
  });

  test("needs an API key and POST", async () => {
    expect((await vote(blue.url, await tokenOf(blue.url), { key: "sk-wrong" })).status).toBe(401);
    const get = await fetch(blue.url + PATHS.feedback, { headers: { authorization: `Bearer ${KEY}` } });
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

describe("without", () => {
  async function single(env: Record<string, string>): Promise<string> {
    const gateway = await start(env);
    onTestFinished(gateway.close);
    return gateway.url;
  }

  test("a key there are no tokens, and the path does not exist", async () => {
    const gateway = await startTestGateway({ replicas: [replica.url] });
    onTestFinished(gateway.close);
    expect(await tokenOf(gateway.url)).toBe("");
    const token = await tokenOf(blue.url);
    expect(await errorOf(await vote(gateway.url, token))).toMatchObject({ status: 404, code: "not_found" });
  });

  async function unavailable(url: string): Promise<void> {
    const token = await tokenOf(url);
    const begun = performance.now();
    const response = await vote(url, token);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "unavailable" });
    expect(performance.now() - begun).toBeLessThan(2_500);
    expect(await metric(url, METRICS.feedback.name, {})).toBe(0);
  }

  test("a key-value store it is not available", async () => {
    await unavailable(await single({}));
  });

  test("an answer of the store it is not available, soon", async () => {
    const { host } = new URL(await deadUrl());
    await unavailable(await single({ GATEWAY_REDIS_URL: `redis://${host}` }));
    const silent = new Store();
    await silent.listen();
    onTestFinished(() => silent.close());
    const url = await single({
      GATEWAY_REDIS_URL: `redis://127.0.0.1:${silent.port}`,
      GATEWAY_PROBE_INTERVAL_SECONDS: "60",
    });
    await until(async () => (await metric(url, METRICS.dependencyUp.name, {})) === 1);
    silent.silent = true;
    await unavailable(url);
  });
});
