import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import {
  answerChat,
  beginStream,
  chatBody,
  chunk,
  errorOf,
  type FakeReplica,
  MODEL,
  metric,
  post,
  sha256,
  sse,
  startReplica,
  startTestGateway,
  type TestGatewayOptions,
  until,
} from "./support.ts";

const TENANTS = {
  gold: { tier: "gold" },
  silver: { tier: "silver" },
  bronze: { tier: "bronze" },
  other: { tier: "bronze" },
};
const UNBOUNDED = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };
const tenants = Object.fromEntries(
  Object.entries(TENANTS).map(([id, entry]) => [id, { ...entry, limits: UNBOUNDED }]),
);
const KEYS = [
  ...Object.keys(TENANTS).map((tenant) => ({ id: tenant, sha256: sha256(`sk-${tenant}`), tenant })),
  { id: "probe", sha256: sha256("sk-probe"), tenant: "bronze", probe: true },
];

function optionsOf(queue: object): Pick<TestGatewayOptions, "env" | "settings"> {
  return { settings: { tenants, queue }, env: { GATEWAY_KEYS: JSON.stringify(KEYS) } };
}

const as = (key: string) => ({ authorization: `Bearer sk-${key}` });

let replica: FakeReplica;
/** Lets the oldest request at the replica be answered. */
let finish: (() => void)[];
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  finish = [];
  replica = await startReplica(async (request, response) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    finish.push(resolve);
    await promise;
    await answerChat(request, response);
  });
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await replica.close();
});

async function start(queue: object, env: Record<string, string> = {}) {
  const options = optionsOf(queue);
  const gateway = await startTestGateway({
    replicas: [replica.url],
    ...options,
    env: { ...options.env, ...env },
  });
  closing.push(gateway.close);
  await until(async () => (await metric(gateway.url, METRICS.replicasHealthy.name, { model: MODEL })) === 1);
  return gateway;
}

const waiting = (url: string, tier: string) => metric(url, METRICS.queueLength.name, { model: MODEL, tier });

/** Sends one and waits until it is in the queue, so that the order of arrival is certain. */
async function enqueue(url: string, key: string, tier: string = key): Promise<Promise<Response>[]> {
  const before = await waiting(url, tier);
  const answer = post(url, { headers: as(key), body: chatBody({ user: key }) });
  await until(async () => (await waiting(url, tier)) === before + 1);
  return [answer];
}

const asked = () => replica.received.map(({ body }) => (JSON.parse(body) as { user: string }).user);

describe("A gateway whose replica is busy, when clients of all tiers ask", () => {
  it("then each waits, and probes come first, then gold, silver and bronze", async () => {
    const { url } = await start({ perReplica: 1 });
    const answers: Promise<Response>[] = [];
    answers.push(post(url, { headers: as("gold"), body: chatBody({ user: "first" }) }));
    await until(() => finish.length === 1);
    for (const key of ["bronze", "silver", "gold"]) answers.push(...(await enqueue(url, key)));
    answers.push(...(await enqueue(url, "probe", "probe")));
    for (let index = 0; index < 5; index += 1) {
      await until(() => finish.length > 0);
      expect(asked()).toHaveLength(index + 1);
      finish.shift()?.();
    }
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(asked()).toEqual(["first", "probe", "gold", "silver", "bronze"]);
    expect(
      await metric(url, `${METRICS.queueWait.name}_count`, { model: MODEL, tier: "bronze", end: "admitted" }),
    ).toBe(1);
  });

  it("then two tenants of one tier take turns, however many the first one has sent", async () => {
    const { url } = await start({ perReplica: 1, oldestEvery: 1_000 });
    const answers = [post(url, { headers: as("gold"), body: chatBody({ user: "first" }) })];
    await until(() => finish.length === 1);
    for (const key of ["bronze", "bronze", "bronze", "other"])
      answers.push(...(await enqueue(url, key, "bronze")));
    for (let index = 0; index < 5; index += 1) {
      await until(() => finish.length > 0);
      finish.shift()?.();
    }
    await Promise.all(answers);
    expect(asked()).toEqual(["first", "bronze", "other", "bronze", "bronze"]);
  });
});

describe("A gateway whose queue is full, when another request comes", () => {
  it("then its tenant's share gives 429, the whole queue 503, both with Retry-After", async () => {
    const { url } = await start({ perReplica: 1, length: 4, tenantShare: 0.5 });
    const answers = [post(url, { headers: as("gold") })];
    await until(() => finish.length === 1);
    answers.push(...(await enqueue(url, "gold")), ...(await enqueue(url, "gold")));
    const own = await post(url, { headers: as("gold") });
    answers.push(...(await enqueue(url, "silver")), ...(await enqueue(url, "probe", "probe")));
    const whole = await post(url, { headers: as("bronze") });
    for (const refused of [own, whole])
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(await errorOf(own)).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(await errorOf(whole)).toMatchObject({ status: 503, code: "model_overloaded" });
    const refused = (tier: string, reason: string) =>
      metric(url, METRICS.queueRefused.name, { model: MODEL, tier, reason });
    expect([await refused("gold", "tenant"), await refused("bronze", "length")]).toEqual([1, 1]);
    for (let index = 0; index < 5; index += 1) {
      await until(() => finish.length > 0);
      finish.shift()?.();
    }
    for (const answer of answers) expect((await answer).status).toBe(200);
  });

  it("then one that waits too long gets 503, and the place goes to who still waits", async () => {
    const { url } = await start({ perReplica: 1, maxWaitSeconds: 0.2 });
    const first = post(url, { headers: as("gold") });
    await until(() => finish.length === 1);
    const late = await post(url, { headers: as("gold") });
    expect(await errorOf(late)).toMatchObject({ status: 503, code: "model_overloaded" });
    finish.shift()?.();
    expect((await first).status).toBe(200);
    expect(replica.received).toHaveLength(1);
  });
});

describe("A request that waits, when its deadline comes", () => {
  it("then the time in the queue counts, and it never reaches the replica", async () => {
    const deadline = { GATEWAY_REQUEST_TIMEOUT_SECONDS: "0.5" };
    const { url } = await start({ perReplica: 1, maxWaitSeconds: 60 }, deadline);
    replica.behave = (_, response) => {
      beginStream(response);
      response.write(sse(chunk("Hi")));
    };
    // Once it has begun, a stream has no deadline.
    await post(url, { headers: as("gold"), body: chatBody({ stream: true }) });
    const late = await post(url, { headers: as("gold") });
    expect(await errorOf(late)).toMatchObject({ status: 503, code: "model_overloaded" });
    expect(replica.received).toHaveLength(1);
  });
});

describe("A request that waits, when its client leaves", () => {
  it("then it is out of the queue at once and never reaches the replica", async () => {
    const { url } = await start({ perReplica: 1 });
    const first = post(url, { headers: as("gold") });
    await until(() => finish.length === 1);
    const leaving = new AbortController();
    const left = post(url, { headers: as("gold"), signal: leaving.signal });
    await until(async () => (await waiting(url, "gold")) === 1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await until(async () => (await waiting(url, "gold")) === 0, 1_000);
    finish.shift()?.();
    expect((await first).status).toBe(200);
    const next = post(url, { headers: as("gold"), body: chatBody({ user: "next" }) });
    await until(() => finish.length === 1);
    finish.shift()?.();
    expect((await next).status).toBe(200);
    expect(replica.received).toHaveLength(2);
  });

  it("then one that leaves while it is served gives its place to the next", async () => {
    const { url } = await start({ perReplica: 1 });
    const leaving = new AbortController();
    const left = post(url, { headers: as("gold"), signal: leaving.signal });
    await until(() => finish.length === 1);
    const [next] = await enqueue(url, "gold");
    leaving.abort();
    await expect(left).rejects.toThrow();
    await until(() => finish.length === 2);
    finish[1]?.();
    expect((await next)?.status).toBe(200);
  });
});

describe("A stream, when others wait behind it", () => {
  it("then it keeps its place until it has ended", async () => {
    const { url } = await start({ perReplica: 1 });
    let end = () => {};
    replica.behave = (_, response) => {
      beginStream(response);
      response.write(sse(chunk("Hi")));
      end = () => void response.end(sse("[DONE]"));
    };
    const stream = await post(url, { headers: as("gold"), body: chatBody({ stream: true }) });
    const [next] = await enqueue(url, "gold");
    replica.behave = answerChat;
    expect(replica.received).toHaveLength(1);
    end();
    await stream.text();
    expect((await next)?.status).toBe(200);
  });
});

describe("A gateway that is told to stop, when requests wait", () => {
  it("then they are answered within the drain time", async () => {
    const gateway = await start({ perReplica: 1 }, { GATEWAY_DRAIN_SECONDS: "30" });
    const first = post(gateway.url, { headers: as("gold") });
    await until(() => finish.length === 1);
    const [next] = await enqueue(gateway.url, "gold");
    const closed = gateway.close();
    finish.shift()?.();
    await until(() => finish.length === 1);
    finish.shift()?.();
    expect([(await first).status, (await next)?.status]).toEqual([200, 200]);
    await closed;
  });

  it("then those who still wait when it is over are told 503", async () => {
    const gateway = await start({ perReplica: 1 }, { GATEWAY_DRAIN_SECONDS: "0.2" });
    const all = [post(gateway.url, { headers: as("gold") }), post(gateway.url, { headers: as("gold") })];
    await until(async () => finish.length === 1 && (await waiting(gateway.url, "gold")) === 1);
    await gateway.close();
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual([503, 503]);
  });
});
