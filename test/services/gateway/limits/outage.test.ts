import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { limitsSettings } from "../../../../services/gateway/limits/settings.ts";
import { SharedLimiter } from "../../../../services/gateway/limits/shared-limiter.ts";
import { REDIS_KINDS, type StoreProcess, startRedis } from "../../stores.ts";
import { type FakeReplica, post, startReplica, startTestGateway, until } from "../support.ts";
import { boundedBy, connect, isShared, principalOf, tenantOf } from "./support.ts";

// A request waits a second for the store in these tests; twelve that all wait would take twelve.
const PATIENCE_MS = 6_000;

let replica: FakeReplica;
beforeAll(async () => {
  replica = await startReplica();
});
afterAll(() => replica.close());

interface Quiet {
  readonly redisUrl: string | undefined;
  readonly settings?: object;
}

/** A limiter of which nobody hears anything; it ends with its test. */
function quietLimiter({ redisUrl, settings = {} }: Quiet): SharedLimiter {
  const gauge = { set: () => undefined, readFrom: () => undefined };
  const limiter = new SharedLimiter({
    redisUrl,
    settings: () => limitsSettings.parse(settings),
    log: pino({ level: "silent" }),
    metrics: Object({
      budgetUsed: gauge,
      limiterLocal: gauge,
      limited: { inc: () => undefined },
      tenantLabel: String,
    }),
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const started = performance.now();
  const result = await work();
  return { ms: performance.now() - started, result };
}

describe.each(REDIS_KINDS)("%s Redis that accepts and never answers", (kind) => {
  let store: StoreProcess;
  beforeAll(async () => {
    store = await startRedis(kind);
  });
  afterAll(() => store.stop());

  test("requests, when it falls silent, then the first waits a moment, the others not, the local share holds, and it is used again when it is back", async () => {
    const settings = boundedBy({ requestsPerMinute: 40 }, { gateways: 4 });
    const gateway = await startTestGateway({
      replicas: [replica.url],
      env: { GATEWAY_REDIS_URL: store.url },
      settings,
    });
    onTestFinished(() => gateway.close());
    await until(() => isShared(gateway.url));
    expect((await post(gateway.url)).headers.get("x-ratelimit-limit-requests")).toBe("40");
    store.pause();
    onTestFinished(() => store.resume());
    const first = await timed(() => post(gateway.url));
    expect(first.result.status).toBe(200);
    expect(first.ms).toBeLessThan(PATIENCE_MS);
    expect(await isShared(gateway.url)).toBe(false);
    const others = await timed(async () => {
      const statuses = [];
      for (let i = 0; i < 12; i += 1) statuses.push((await post(gateway.url)).status);
      return statuses;
    });
    expect(others.result.filter((status) => status === 200)).toHaveLength(9);
    expect(others.result.filter((status) => status === 429)).toHaveLength(3);
    expect(others.ms).toBeLessThan(PATIENCE_MS);
    store.resume();
    await until(() => isShared(gateway.url));
    expect((await post(gateway.url)).headers.get("x-ratelimit-limit-requests")).toBe("40");
  });

  test("what was spent meanwhile and reserved before, when the store is back, then the shared budget knows it, each once", async () => {
    const redis = connect(store.url);
    await redis.flushall();
    const limiter = quietLimiter({ redisUrl: store.url });
    const principal = principalOf(tenantOf("acme", {}, { dailyUsd: 1 }));
    const reserve = async (id: string) => {
      const answer = await limiter.reserve({ id, principal, tokens: 1, nanoUsd: 1_000 });
      if (!answer.admitted) throw new Error(`refused because of ${answer.because}`);
      return answer;
    };
    const spending = async () => (await redis.hmget("{acme}:limits:budget", "ds", "dr")).map(Number);
    await until(async () => {
      (await reserve(`warm-${performance.now()}`)).settle({ tokens: 0, nanoUsd: 0 });
      return (await redis.exists("{acme}:limits:budget")) === 1;
    });
    const before = await reserve("before");
    await until(async () => (await spending())[1] === 1_000);
    store.pause();
    onTestFinished(() => store.resume());
    // The store gets to carry this one out later, though nobody waits for its answer any more.
    const unheard = await reserve("unheard");
    before.settle({ tokens: 1, nanoUsd: 300 });
    const during = await reserve("during");
    during.settle({ tokens: 1, nanoUsd: 50 });
    unheard.settle({ tokens: 1, nanoUsd: 7 });
    store.resume();
    await until(async () => (await spending())[0] === 357);
    expect(await spending()).toEqual([357, 0]);
    expect(await redis.zcard("{acme}:limits:open")).toBe(0);
  });
});

test("a key with bounds of its own, when there is no store, then it has its share of them", async () => {
  const limiter = quietLimiter({ redisUrl: undefined, settings: { gateways: 2 } });
  const principal = principalOf(tenantOf("acme"), "key", { requestsPerMinute: 4 });
  const answers = [];
  for (const id of ["a", "b", "c"])
    answers.push(await limiter.reserve({ id, principal, tokens: 1, nanoUsd: 0 }));
  expect(answers.map(({ admitted }) => admitted)).toEqual([true, true, false]);
});

describe("Redis that is not there", () => {
  test("a gateway, when it starts, then it serves its local share at once", async () => {
    const store = await startRedis("embedded");
    await store.stop();
    const gateway = await startTestGateway({
      replicas: [replica.url],
      env: { GATEWAY_REDIS_URL: store.url },
      settings: boundedBy({ requestsPerMinute: 4 }, { gateways: 2 }),
    });
    onTestFinished(() => gateway.close());
    const statuses = [await post(gateway.url), await post(gateway.url), await post(gateway.url)];
    expect(statuses.map(({ status }) => status)).toEqual([200, 200, 429]);
  });
});
