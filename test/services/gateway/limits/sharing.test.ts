import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { SLOT_MS, tenantBounds } from "../../../../services/gateway/limits/batch.ts";
import { RedisLimiter } from "../../../../services/gateway/limits/redis-limiter.ts";
import { limitsSettings } from "../../../../services/gateway/limits/settings.ts";
import { SharedLimiter } from "../../../../services/gateway/limits/shared-limiter.ts";
import { REDIS_KINDS, type StoreProcess, startRedis } from "../../stores.ts";
import { until } from "../support.ts";
import { connect, principalOf, tenantOf } from "./support.ts";

const LIMIT = 4_000;
const GATEWAYS = 4;
const REQUESTS_EACH = 1_300;

describe.each(REDIS_KINDS)("limiters of several gateways that share %s Redis", (kind) => {
  let store: StoreProcess;
  beforeAll(async () => {
    store = await startRedis(kind);
  });
  afterAll(() => store.stop());
  beforeEach(async () => void (await connect(store.url).flushall()));

  async function startLimiter(leaseSeconds = 30): Promise<SharedLimiter> {
    const settings = limitsSettings.parse({ storeTimeoutMilliseconds: 1_000, leaseSeconds });
    const gauge = { set: () => undefined, readFrom: () => undefined };
    const state = { local: 1 };
    const limiter = new SharedLimiter({
      redisUrl: store.url,
      settings: () => settings,
      log: pino({ level: "silent" }),
      metrics: Object({
        budgetUsed: gauge,
        limited: { inc: () => undefined },
        limiterLocal: { set: (_: object, value: number) => Object.assign(state, { local: value }) },
        tenantLabel: String,
      }),
    });
    onTestFinished(() => limiter.close());
    await until(() => state.local === 0);
    return limiter;
  }

  test("four of them, when they are asked for more than the limit within a minute, then together they admit it exactly", async () => {
    const limiters = await Promise.all(Array.from({ length: GATEWAYS }, () => startLimiter()));
    const principal = principalOf(tenantOf("acme", { requestsPerMinute: LIMIT }));
    const started = performance.now();
    let admitted = 0;
    const ask = async (limiter: SharedLimiter, id: string) => {
      const answer = await limiter.reserve({ id, principal, tokens: 1, nanoUsd: 0 });
      if (!answer.admitted) return;
      admitted += 1;
      answer.settle({ tokens: 1, nanoUsd: 0 });
    };
    for (let round = 0; round < REQUESTS_EACH; round += 50) {
      const asks = limiters.flatMap((limiter, gateway) =>
        Array.from({ length: 50 }, (_, i) => ask(limiter, `${gateway}-${round + i}`)),
      );
      await Promise.all(asks);
    }
    expect(performance.now() - started).toBeLessThan(60_000);
    expect(admitted).toBe(LIMIT);
  });

  test("a request under way, when its gateway lives, then it counts beyond its lease, and when that is gone, then until its end", async () => {
    const [first, second] = [await startLimiter(1), await startLimiter(1)];
    const principal = principalOf(tenantOf("acme", { concurrency: 1 }));
    const ask = (limiter: SharedLimiter) =>
      limiter.reserve({ id: String(performance.now()), principal, tokens: 1, nanoUsd: 0 });
    expect(await ask(first)).toMatchObject({ admitted: true });
    const leases = performance.now() + 2_500;
    while (performance.now() < leases)
      expect(await ask(second)).toMatchObject({ admitted: false, because: "concurrency" });
    // As when its process is killed: nothing is settled, nothing is renewed.
    await first.close();
    expect(await ask(second)).toMatchObject({ admitted: false });
    await until(async () => (await ask(second)).admitted);
  });

  test("settlements, when they are sent again with their number, then they count once", async () => {
    const redis = connect(store.url);
    const limiter = new RedisLimiter(redis);
    const tenant = tenantOf("acme", {}, { dailyUsd: 1 });
    const settlement = {
      id: "id",
      principal: principalOf(tenant),
      slot: Math.floor(Date.now() / SLOT_MS),
      reservedTokens: 0,
      tokens: 0,
      reservedNanoUsd: 0,
      nanoUsd: 5,
    };
    const batch = { tenant, bounds: tenantBounds(tenant), settlements: [settlement] };
    await limiter.settle(batch, 1);
    await limiter.settle(batch, 1);
    expect(await redis.hget("{acme}:limits:budget", "ds")).toBe("5");
    await limiter.settle(batch, 2);
    expect(await redis.hget("{acme}:limits:budget", "ds")).toBe("10");
  });
});
