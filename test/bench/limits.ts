import { pino } from "pino";
import { limitsSettings } from "../../services/gateway/limits/settings.ts";
import { SharedLimiter } from "../../services/gateway/limits/shared-limiter.ts";
import type { Principal } from "../../services/gateway/tenancy/principal.ts";
import { REDIS_KINDS, startRedis } from "../services/stores.ts";

const SECONDS = 4;
const CONCURRENCIES = [1, 32, 256];

/** Measures how many requests one process reserves and settles in a second, with all bounds and budgets. */
export async function runLimitsBench(): Promise<void> {
  const [kind = "embedded"] = REDIS_KINDS;
  const store = await startRedis(kind);
  const state = { local: 1 };
  const gauge = { set: () => undefined, readFrom: () => undefined };
  const limiter = new SharedLimiter({
    redisUrl: store.url,
    settings: () => limitsSettings.parse({}),
    log: pino({ level: "silent" }),
    metrics: Object({
      budgetUsed: gauge,
      limited: { inc: () => undefined },
      limiterLocal: { set: (_: object, value: number) => Object.assign(state, { local: value }) },
      tenantLabel: String,
    }),
  });
  while (state.local === 1) await new Promise((resolve) => setTimeout(resolve, 10));
  console.log(`reservations and settlements per second of one process, ${kind} Redis`);
  for (const concurrency of CONCURRENCIES) {
    const perSecond = await measure(limiter, concurrency);
    console.log(`${String(concurrency).padStart(4)} at once: ${Math.round(perSecond)}`);
  }
  await limiter.close();
  await store.stop();
}

async function measure(limiter: SharedLimiter, concurrency: number): Promise<number> {
  const principal = principalOf(`tenant-${concurrency}`);
  const started = performance.now();
  const end = started + SECONDS * 1000;
  let done = 0;
  const client = async () => {
    while (performance.now() < end) {
      done += 1;
      const answer = await limiter.reserve({
        id: `${concurrency}-${done}`,
        principal,
        tokens: 100,
        nanoUsd: 1_000,
      });
      if (!answer.admitted) throw new Error(`refused because of ${answer.because}`);
      answer.settle({ tokens: 50, nanoUsd: 500 });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, client));
  return (done / (performance.now() - started)) * 1000;
}

function principalOf(id: string): Principal {
  const limits = { requestsPerMinute: 1e9, tokensPerMinute: 1e12, concurrency: 1e6 };
  const none = { requestsPerMinute: undefined, tokensPerMinute: undefined, concurrency: undefined };
  return {
    keyId: "key",
    tenant: {
      id,
      tier: "gold",
      region: undefined,
      sensitivity: "low",
      limits,
      budget: { hourlyUsd: 1e6, dailyUsd: 1e6 },
    },
    project: "default",
    limits: none,
    permissions: [],
    models: undefined,
    expiresAt: undefined,
    operator: false,
    probe: false,
  };
}
