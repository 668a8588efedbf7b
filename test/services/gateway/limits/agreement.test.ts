import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Ask,
  type Batch,
  type Decision,
  HOUR_MS,
  NONE,
  OUTCOMES,
  type Settlement,
  type SettlementBatch,
  SLOT_MS,
  tenantBounds,
  WINDOW_MS,
} from "../../../../services/gateway/limits/batch.ts";
import { LocalLimiter } from "../../../../services/gateway/limits/local-limiter.ts";
import type { Principal, Tenant } from "../../../../services/gateway/tenancy/principal.ts";
import { REDIS_KINDS, type StoreProcess, startRedis } from "../../stores.ts";
import { clockedLimiter, connect, principalOf, tenantOf } from "./support.ts";

const RUNS = 400;
// Ten minutes before the end of a day, so that histories cross into another hour and another day.
const START = Date.UTC(2026, 10, 20, 23, 50) + 137;
const LEASE_MS = 10 * 86_400_000;

const bound = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined });
const limits = fc.record({ requestsPerMinute: bound(8), tokensPerMinute: bound(500), concurrency: bound(5) });
const usd = fc.option(fc.constantFrom(0.000_001, 0.000_002, 0.000_005), { nil: undefined });

const ask = fc.record({ key: fc.nat(2), tokens: fc.nat(300), nanoUsd: fc.nat(1_000) });
const waiting = fc.record({
  kind: fc.constant("wait" as const),
  ms: fc.oneof(
    fc.nat(400),
    fc.nat(30_000),
    fc.nat(90_000),
    fc.integer({ min: 59_600, max: 60_600 }),
    fc.nat(4_000_000),
  ),
});
const reserving = fc.record({
  kind: fc.constant("reserve" as const),
  asks: fc.array(ask, { minLength: 1, maxLength: 4 }),
  seed: fc.option(fc.nat(3_000), { nil: undefined }),
  awaitSeed: fc.boolean(),
});
const settling = fc.record({
  kind: fc.constant("settle" as const),
  which: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
  tokens: fc.nat(400),
  nanoUsd: fc.nat(1_500),
  // In one of ten the bucket is not known.
  unknown: fc.nat(9),
});
const step = fc.oneof(waiting, { weight: 3, arbitrary: reserving }, { weight: 2, arbitrary: settling });
const history = fc.record({
  tenant: limits,
  keys: fc.tuple(limits, limits, limits),
  budget: fc.record({ hourlyUsd: usd, dailyUsd: usd }),
  steps: fc.array(step, { minLength: 1, maxLength: 40 }),
});

type History = typeof history extends fc.Arbitrary<infer T> ? T : never;
type Reserve = typeof reserving extends fc.Arbitrary<infer T> ? T : never;
type Settle = typeof settling extends fc.Arbitrary<infer T> ? T : never;

describe.each(REDIS_KINDS)("the limits' script in %s Redis beside the local limiter", (kind) => {
  let store: StoreProcess;
  beforeAll(async () => {
    store = await startRedis(kind);
  });
  afterAll(() => store.stop());

  test("random histories, when both decide them, then every answer is the same", async () => {
    const redis = connect(store.url);
    const { limiter, setClock } = clockedLimiter(redis);
    const outcomes = new Set<string>();
    let calls = 0;
    const play = async (given: History) => {
      await redis.flushall();
      const player = new Player(given, outcomes);
      for (const next of given.steps) {
        player.now += next.kind === "wait" ? next.ms : 0;
        await setClock(player.now);
        if (next.kind === "reserve") {
          const batch = player.reservation(next);
          const decision = await limiter.reserve(batch, LEASE_MS);
          expect(decision).toEqual(player.local.reserve(batch));
          player.remember(batch.asks, decision);
        } else if (next.kind === "settle") {
          const batch = player.settlement(next);
          calls += 1;
          expect(await limiter.settle(batch, calls)).toEqual(player.local.settle(batch));
        }
      }
    };
    await fc.assert(fc.asyncProperty(history, play), { numRuns: RUNS });
    // Only the store knows of revoked keys.
    expect([...outcomes, "revoked"].sort()).toEqual([...OUTCOMES].sort());
  });

  test("ten minutes of more requests than are allowed, when they are decided, then no 60 seconds hold more than the limit and 99 % of it is used", async () => {
    const limit = 120;
    const local = { now: START };
    const limiter = new LocalLimiter(() => local.now);
    const tenant = tenantOf("acme", { requestsPerMinute: limit });
    const principal = principalOf(tenant);
    const admittedAt: number[] = [];
    for (let i = 0; local.now < START + 600_000; i += 1) {
      local.now += 40;
      const { verdicts } = limiter.reserve({
        tenant,
        bounds: tenantBounds(tenant),
        asks: [{ id: String(i), principal, tokens: 1, nanoUsd: 0 }],
      });
      if (verdicts[0]?.outcome === "admitted") admittedAt.push(local.now);
    }
    for (const [i, at] of admittedAt.entries())
      expect(at - (admittedAt[i - limit] ?? 0)).toBeGreaterThanOrEqual(60_000);
    expect(admittedAt.length).toBeGreaterThan(limit * 10 * 0.99);
    expect(WINDOW_MS - 60_000).toBe(SLOT_MS);
  });
});

/** One history as it is played, with the local limiter and what is under way. */
class Player {
  now = START;
  readonly local = new LocalLimiter(() => this.now);
  readonly #tenant: Tenant;
  readonly #principals: readonly Principal[];
  readonly #outcomes: Set<string>;
  #open: Settlement[] = [];
  #asks = 0;

  constructor({ tenant, keys, budget }: History, outcomes: Set<string>) {
    this.#tenant = tenantOf("acme", tenant, budget);
    this.#principals = keys.map((own, i) => principalOf(this.#tenant, `key-${i}`, own));
    this.#outcomes = outcomes;
  }

  reservation({ asks, seed, awaitSeed }: Reserve): Batch {
    const seeded = seed === undefined ? undefined : { hourNanoUsd: seed, dayNanoUsd: seed * 2 };
    return {
      tenant: this.#tenant,
      bounds: tenantBounds(this.#tenant),
      asks: asks.map(({ key, ...amounts }) => {
        this.#asks += 1;
        const principal = this.#principals[key] ?? principalOf(this.#tenant);
        return { id: `id-${this.#asks}`, principal, ...amounts };
      }),
      seed: seeded && { hour: Math.floor(this.now / HOUR_MS), ...seeded },
      awaitSeed,
    };
  }

  remember(asks: readonly Ask[], { nowMs, verdicts }: Decision): void {
    const slot = Math.floor(nowMs / SLOT_MS);
    for (const [i, { outcome }] of verdicts.entries()) {
      this.#outcomes.add(outcome);
      const ask = asks[i];
      if (outcome !== "admitted" || !ask) continue;
      const { tokens, nanoUsd } = ask;
      this.#open.push({ ...ask, slot, reservedTokens: tokens, reservedNanoUsd: nanoUsd });
    }
  }

  settlement({ which, tokens, nanoUsd, unknown }: Settle): SettlementBatch {
    const chosen = new Set(which.map((i) => this.#open[i % Math.max(1, this.#open.length)]));
    const settlements = this.#open
      .filter((one) => chosen.has(one))
      .map((one) => ({ ...one, tokens, nanoUsd, slot: unknown === 0 ? NONE : one.slot }));
    this.#open = this.#open.filter((one) => !chosen.has(one));
    return { tenant: this.#tenant, bounds: tenantBounds(this.#tenant), settlements };
  }
}
