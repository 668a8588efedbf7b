import { Redis } from "ioredis";
import { onTestFinished } from "vitest";
import { RedisLimiter } from "../../../../services/gateway/limits/redis-limiter.ts";
import { limitScripts } from "../../../../services/gateway/limits/scripts.ts";
import type { Limits, Principal, Tenant } from "../../../../services/gateway/tenancy/principal.ts";

export const UNBOUNDED: Limits = {
  requestsPerMinute: undefined,
  tokensPerMinute: undefined,
  concurrency: undefined,
};

export function tenantOf(
  id: string,
  limits: Partial<Limits> = {},
  budget: Partial<Tenant["budget"]> = {},
): Tenant {
  return {
    id,
    tier: "bronze",
    region: undefined,
    sensitivity: "medium",
    limits: { ...UNBOUNDED, ...limits },
    budget: { hourlyUsd: undefined, dailyUsd: undefined, ...budget },
  };
}

export function principalOf(tenant: Tenant, keyId = "key", limits: Partial<Limits> = {}): Principal {
  return {
    keyId,
    tenant,
    project: "default",
    limits: { ...UNBOUNDED, ...limits },
    permissions: ["*:*"],
    models: undefined,
    expiresAt: undefined,
    operator: false,
    probe: false,
  };
}

export function connect(url: string): Redis {
  const redis = new Redis(url, { retryStrategy: () => null });
  redis.on("error", () => undefined);
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Scripts whose clock is a value in the store, so that a test moves it by hand. */
const CLOCK =
  "(function() local v = redis.call('GET', 'clock') return { string.format('%.0f', math.floor(v / 1000)), string.format('%.0f', v % 1000 * 1000) } end)()";

/** A limiter in the store whose clock stands until it is moved. */
export function clockedLimiter(redis: Redis) {
  return {
    limiter: new RedisLimiter(redis, limitScripts(CLOCK)),
    setClock: async (ms: number) => void (await redis.set("clock", String(ms))),
  };
}

const NO_LIMITS = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };

/**
 * Settings in which the tests' tenant has these bounds and no others. The store may take its time: a machine under load
 * is no outage.
 */
export function boundedBy(limits: object, section: object = {}): object {
  return {
    tenants: { acme: { limits: { ...NO_LIMITS, ...limits } } },
    limits: { storeTimeoutMilliseconds: 1_000, ...section },
  };
}

/** Whether the gateway goes by the store that all share. */
export async function isShared(url: string): Promise<boolean> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return /^gateway_limiter_local\{.*\} 0$/m.test(page);
}
