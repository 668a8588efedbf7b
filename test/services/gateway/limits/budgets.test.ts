import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { SpentLookup } from "../../../../services/gateway/limits/seeds.ts";
import { limitsSettings } from "../../../../services/gateway/limits/settings.ts";
import { SharedLimiter } from "../../../../services/gateway/limits/shared-limiter.ts";
import { REDIS_KINDS, type StoreProcess, startRedis } from "../../stores.ts";
import { chatBody, errorOf, MODEL, metric, post, startReplica, startTestGateway, until } from "../support.ts";
import { boundedBy, connect, isShared, principalOf, tenantOf } from "./support.ts";

const DOLLAR = 1e9;
const settings = limitsSettings.parse({ storeTimeoutMilliseconds: 1_000 });
const daily = tenantOf("acme", {}, { dailyUsd: 10 });

describe.each(REDIS_KINDS)("budgets in %s Redis", (kind) => {
  let store: StoreProcess;
  beforeAll(async () => {
    store = await startRedis(kind);
  });
  afterAll(() => store.stop());
  beforeEach(async () => void (await connect(store.url).flushall()));

  /** One gateway's limiter that goes by the store, and what it logged and showed. */
  async function startLimiter(spent?: SpentLookup) {
    const log: Record<string, unknown>[] = [];
    type Show = (set: (labels: { period: string }, value: number) => void) => void;
    const show: Show[] = [];
    const state = { local: 1 };
    const limiter = new SharedLimiter({
      redisUrl: store.url,
      settings: () => settings,
      log: pino({}, { write: (line) => void log.push(JSON.parse(line)) }),
      metrics: Object({
        budgetUsed: { readFrom: (read: Show) => void show.push(read) },
        limiterLocal: { set: (_: object, value: number) => Object.assign(state, { local: value }) },
        limited: { inc: () => undefined },
        tenantLabel: String,
      }),
      spent,
    });
    onTestFinished(() => limiter.close());
    await until(() => state.local === 0);
    let last = 0;
    const reserve = (usd: number, principal = principalOf(daily)) => {
      last += 1;
      const id = `${performance.now()}-${last}`;
      return limiter.reserve({ id, principal, tokens: 0, nanoUsd: usd * DOLLAR });
    };
    const spend = async (usd: number, principal = principalOf(daily)) => {
      const answer = await reserve(usd, principal);
      if (answer.admitted) answer.settle({ tokens: 0, nanoUsd: usd * DOLLAR });
      return answer.admitted;
    };
    /** What the metric says when it is scraped. */
    const ratio = (wanted: string) => {
      let found = 0;
      for (const read of show) read(({ period }, value) => (found = period === wanted ? value : found));
      return found;
    };
    return { reserve, spend, ratio, alerts: () => log.filter(({ event }) => event === "budget_alert") };
  }

  test("a tenant, when its budget is reserved or spent, then no gateway lets more through until what was not spent is back", async () => {
    const [one, other] = [await startLimiter(), await startLimiter()];
    const first = await one.reserve(6);
    const refused = await other.reserve(5);
    expect(refused).toMatchObject({ admitted: false, because: "budget" });
    const untilMidnight = Math.ceil((86_400_000 - (Date.now() % 86_400_000)) / 1000);
    const told = refused.admitted ? 0 : refused.retryAfterSeconds;
    expect(Math.abs(told - untilMidnight) % 86_400).toBeLessThanOrEqual(5);
    if (first.admitted) first.settle({ tokens: 0, nanoUsd: DOLLAR });
    await until(async () => (await other.spend(5)) === true);
  });

  test("gateways, when a budget comes to 80 %, then one of them says so, once", async () => {
    const gateways = [await startLimiter(), await startLimiter(), await startLimiter()];
    for (let i = 0; i < 8; i += 1) await gateways[i % 3]?.spend(1);
    const alerts = () => gateways.flatMap((gateway) => gateway.alerts());
    await until(() => alerts().length > 0);
    for (const gateway of gateways) await gateway.spend(0.5);
    await until(() => gateways.some(({ ratio }) => ratio("day") > 0.9));
    expect(alerts()).toHaveLength(1);
    expect(alerts()[0]).toMatchObject({ tenant: "acme", period: "day", share: 0.8 });
  });

  test("a gateway, when an hour's budget comes to 80 %, then it says so, once, and what is beyond is refused", async () => {
    const limiter = await startLimiter();
    const hourly = principalOf(tenantOf("acme", {}, { hourlyUsd: 10 }));
    expect(await limiter.spend(7.9, hourly)).toBe(true);
    await until(() => limiter.ratio("hour") === 0.79);
    expect(limiter.alerts()).toEqual([]);
    for (let i = 0; i < 2; i += 1) expect(await limiter.spend(0.2, hourly)).toBe(true);
    await until(() => limiter.ratio("hour") > 0.82);
    expect(limiter.alerts()).toMatchObject([{ tenant: "acme", period: "hour" }]);
    expect(await limiter.reserve(2, hourly)).toMatchObject({ admitted: false, because: "budget" });
  });

  test("the store, when it forgets everything, then the ledger's figures count again", async () => {
    let asked = 0;
    const limiter = await startLimiter(async () => {
      asked += 1;
      return { hourNanoUsd: 2 * DOLLAR, dayNanoUsd: 9.5 * DOLLAR };
    });
    expect(await limiter.spend(0.4)).toBe(true);
    expect(await limiter.spend(0.4)).toBe(false);
    expect(asked).toBe(1);
    // What is settled after the store has forgotten would count twice.
    await until(() => limiter.ratio("day") >= 0.989);
    await connect(store.url).flushall();
    expect(await limiter.spend(0.6)).toBe(false);
    expect(await limiter.spend(0.4)).toBe(true);
    expect(asked).toBe(2);
  });

  test("the ledger, when it fails or never answers, then requests go on, and its figures count once it tells them", async () => {
    let answer = Promise.withResolvers<{ hourNanoUsd: number; dayNanoUsd: number }>();
    const limiter = await startLimiter(() => answer.promise);
    expect(await limiter.spend(3)).toBe(true);
    answer.resolve({ hourNanoUsd: 0, dayNanoUsd: 9 * DOLLAR });
    await until(async () => {
      await limiter.spend(0.01);
      return limiter.ratio("day") >= 0.9;
    });
    expect(await limiter.spend(3)).toBe(false);
    answer = Promise.withResolvers();
    answer.reject(new Error("away"));
    answer.promise.catch(() => undefined);
    await connect(store.url).flushall();
    expect(await limiter.spend(3)).toBe(true);
  });

  test("two tenants with keys of one name, when one uses up all it has, then the other has all of its own", async () => {
    const limiter = await startLimiter();
    const other = principalOf(tenantOf("other", {}, { dailyUsd: 10 }));
    expect(await limiter.spend(10)).toBe(true);
    expect(await limiter.spend(0.01)).toBe(false);
    expect(await limiter.spend(10, other)).toBe(true);
    const names = (await connect(store.url).scan("0", "COUNT", 1_000))[1];
    expect(names.every((name) => /^\{(acme|other)\}:/.test(name))).toBe(true);
  });

  test("a gateway, when a budget is used up, then clients are told not to try again and the share is shown", async () => {
    const replica = await startReplica();
    onTestFinished(() => replica.close());
    const gateway = await startTestGateway({
      replicas: [replica.url],
      env: { GATEWAY_REDIS_URL: store.url },
      settings: {
        ...boundedBy({}),
        // 14 tokens at a cent each; about 28 are reserved.
        cost: { prices: { [MODEL]: { promptUsd: 10_000, completionUsd: 10_000 } } },
        limits: { storeTimeoutMilliseconds: 1_000, outputTokens: 10 },
        tenants: {
          acme: {
            limits: { requestsPerMinute: null, tokensPerMinute: null, concurrency: null },
            budget: { dailyUsd: 0.5 },
          },
        },
      },
    });
    onTestFinished(() => gateway.close());
    await until(() => isShared(gateway.url));
    expect((await post(gateway.url)).status).toBe(200);
    await until(
      async () => (await metric(gateway.url, "gateway_budget_used_ratio", { period: "day" })) === 0.28,
    );
    const refused = await post(gateway.url, { body: chatBody({ max_tokens: 40 }) });
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await errorOf(refused)).toMatchObject({ status: 429, type: "insufficient_quota" });
  });

  test("a gateway, when the model costs more than its fallback, then what the model costs is reserved", async () => {
    const replica = await startReplica();
    onTestFinished(() => replica.close());
    const list = [{ url: replica.url }];
    const gateway = await startTestGateway({
      replicas: [],
      env: {
        GATEWAY_REDIS_URL: store.url,
        GATEWAY_MODELS: JSON.stringify([
          { name: MODEL, task: "chat", replicas: list },
          { name: "cheap", task: "chat", replicas: list },
        ]),
      },
      settings: {
        ...boundedBy({}),
        models: { [MODEL]: { fallbacks: ["cheap"] } },
        cost: {
          prices: {
            [MODEL]: { promptUsd: 0, completionUsd: 10_000 },
            cheap: { promptUsd: 0, completionUsd: 1 },
          },
        },
        tenants: {
          acme: {
            limits: { requestsPerMinute: null, tokensPerMinute: null, concurrency: null },
            budget: { dailyUsd: 0.5 },
          },
        },
      },
    });
    onTestFinished(() => gateway.close());
    await until(() => isShared(gateway.url));
    const ask = (model: string) => post(gateway.url, { body: chatBody({ model, max_tokens: 100 }) });
    expect((await ask("cheap")).status).toBe(200);
    expect(await errorOf(await ask(MODEL))).toMatchObject({ status: 429, type: "insufficient_quota" });
  });
});
