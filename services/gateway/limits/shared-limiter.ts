import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Tenant } from "../tenancy/principal.ts";
import { Admission, quotasOf, toRefused } from "./admission.ts";
import {
  type Ask,
  type Batch,
  type Decision,
  keyBounds,
  NONE,
  SLOT_MS,
  shareOf,
  tenantBounds,
  type Verdict,
  WINDOW_MS,
} from "./batch.ts";
import { BudgetWatch } from "./budget-watch.ts";
import type { Actual, Admitted, Expected, Limiter, Refused } from "./limiter.ts";
import { LocalLimiter } from "./local-limiter.ts";
import { RedisLimiter } from "./redis-limiter.ts";
import { Seeds, type SpentLookup } from "./seeds.ts";
import type { LimitsSettings } from "./settings.ts";
import { SettlementQueue } from "./settlements.ts";
import { isRefusal, StoreLink } from "./store-link.ts";

const MAX_BATCH = 500;
/** How often within its lease a request is told to be still under way. */
const RENEWALS = 3;
const CLOSE_MS = 250;
const UNLIMITED: Admitted = {
  admitted: true,
  requests: undefined,
  tokens: undefined,
  settle: () => undefined,
};

export interface SharedLimiterOptions {
  /** Undefined where there is no key-value store: then the local share is all there is. */
  readonly redisUrl: string | undefined;
  /** As they are now. */
  readonly settings: () => LimitsSettings;
  readonly metrics: Pick<Metrics, "budgetUsed" | "limited" | "limiterLocal" | "tenantLabel">;
  readonly log: Log;
  /** What the ledger knows; undefined where there is none. */
  readonly spent?: SpentLookup | undefined;
}

interface Waiting {
  readonly expected: Expected;
  readonly resolve: (answer: Admitted | Refused) => void;
}

/** Goes by the store that all gateways share, and by this gateway's own share of each limit while that is away. */
export class SharedLimiter implements Limiter {
  readonly #options: SharedLimiterOptions;
  readonly #link: StoreLink | undefined;
  readonly #store: RedisLimiter | undefined;
  readonly #local = new LocalLimiter();
  readonly #seeds: Seeds;
  readonly #budgets: BudgetWatch;
  readonly #settlements: SettlementQueue;
  /** What the store let through and is under way. */
  readonly #open = new Set<Admission>();
  #waiting = new Map<string, Waiting[]>();
  #renewing: NodeJS.Timeout | undefined;

  constructor(options: SharedLimiterOptions) {
    this.#options = options;
    this.#seeds = new Seeds(options.spent);
    this.#budgets = new BudgetWatch(options);
    this.#settlements = new SettlementQueue((batch, call) => this.#send(batch, call));
    options.metrics.limiterLocal.set({}, 1);
    if (options.redisUrl === undefined) return;
    this.#link = new StoreLink({
      url: options.redisUrl,
      timeoutMs: () => options.settings().storeTimeoutMilliseconds,
      onChange: (up) => this.#changed(up),
    });
    this.#store = new RedisLimiter(this.#link.redis);
  }

  reserve(expected: Expected): Promise<Admitted | Refused> {
    if (expected.principal.probe) return Promise.resolve(UNLIMITED);
    if (!this.#link?.up) return Promise.resolve(this.#reserveLocally(expected));
    const { promise, resolve } = Promise.withResolvers<Admitted | Refused>();
    const tenant = expected.principal.tenant.id;
    const waiting = this.#waiting.get(tenant);
    // After all that has arrived by now was read: one call for the requests of a tenant that come in one turn.
    if (this.#waiting.size === 0) setImmediate(() => this.#flush());
    if (waiting) waiting.push({ expected, resolve });
    else this.#waiting.set(tenant, [{ expected, resolve }]);
    return promise;
  }

  /** Settles what it still can. */
  async close(): Promise<void> {
    clearTimeout(this.#renewing);
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, CLOSE_MS);
    if (this.#link?.up) await Promise.race([this.#settlements.drain(), patience.promise]);
    clearTimeout(timer);
    this.#link?.close();
  }

  #flush(): void {
    const all = this.#waiting;
    this.#waiting = new Map();
    for (const waiting of all.values()) {
      for (let start = 0; start < waiting.length; start += MAX_BATCH)
        void this.#decide(waiting.slice(start, start + MAX_BATCH));
    }
  }

  async #decide(waiting: readonly Waiting[]): Promise<void> {
    const asks = waiting.map(({ expected }): Ask => expected);
    try {
      const decision = await this.#reserveShared(asks);
      for (const [index, { expected, resolve }] of waiting.entries())
        resolve(this.#toAnswer(expected, index, decision));
    } catch (error) {
      if (isRefusal(error)) this.#options.log.error({ event: "limits_failed", err: error });
      for (const { expected, resolve } of waiting) {
        this.#giveBack(expected);
        resolve(this.#reserveLocally(expected));
      }
    }
  }

  async #reserveShared(asks: readonly Ask[]): Promise<Decision> {
    const tenant = tenantOf(asks);
    const bounds = tenantBounds(tenant);
    const leaseMs = this.#options.settings().leaseSeconds * 1000;
    const batch: Batch = { tenant, bounds, asks, ...this.#seeds.forReservation(tenant.id) };
    let decision = await this.#call((store) => store.reserve(batch, leaseMs));
    if (decision.verdicts.length === 0) {
      const seed = await this.#seeds.find(tenant.id);
      decision = await this.#call((store) => store.reserve({ ...batch, seed, awaitSeed: false }, leaseMs));
    }
    if (!decision.unseeded) this.#seeds.done(tenant.id);
    this.#budgets.observe(tenant, decision);
    return decision;
  }

  #toAnswer(expected: Expected, index: number, decision: Decision): Admitted | Refused {
    const { principal } = expected;
    const verdict = decision.verdicts[index];
    if (!verdict) throw new Error("every ask has a verdict");
    const inForce = { tenant: tenantBounds(principal.tenant), key: keyBounds(principal) };
    const quotas = quotasOf(verdict, inForce, decision);
    if (verdict.outcome !== "admitted") return this.#refused(expected, toRefused(verdict, quotas));
    const slot = Math.floor(decision.nowMs / SLOT_MS);
    const admission = new Admission({ expected, slot, quotas }, (settled, actual) =>
      this.#settleShared(settled, actual),
    );
    this.#open.add(admission);
    if (!this.#renewing) this.#renewLater();
    return admission;
  }

  #settleShared(admission: Admission, actual: Actual): void {
    this.#open.delete(admission);
    const { id, principal, tokens, nanoUsd } = admission.expected;
    const reserved = { reservedTokens: tokens, reservedNanoUsd: nanoUsd };
    this.#settlements.add(principal.tenant, { id, principal, slot: admission.slot, ...reserved, ...actual });
  }

  /** The store may have let it through and could not say so. */
  #giveBack({ id, principal, tokens, nanoUsd }: Expected): void {
    const reserved = { reservedTokens: tokens, reservedNanoUsd: nanoUsd };
    this.#settlements.add(principal.tenant, {
      id,
      principal,
      slot: NONE,
      ...reserved,
      tokens: 0,
      nanoUsd: 0,
    });
  }

  #reserveLocally(expected: Expected): Admitted | Refused {
    const { principal } = expected;
    const { gateways } = this.#options.settings();
    const bounds = this.#budgets.shareOf(principal.tenant, gateways);
    const decision = this.#local.reserve({ tenant: principal.tenant, bounds, asks: [expected] }, gateways);
    const [verdict] = decision.verdicts;
    if (!verdict) throw new Error("the local limiter decides at once");
    const inForce = { tenant: bounds, key: shareOf(keyBounds(principal), gateways) };
    const quotas = quotasOf(verdict, inForce, decision);
    if (verdict.outcome === "too_large")
      return this.#refused(expected, toRefused(beyondShare(verdict, expected), quotas));
    if (verdict.outcome !== "admitted") return this.#refused(expected, toRefused(verdict, quotas));
    const slot = Math.floor(decision.nowMs / SLOT_MS);
    return new Admission({ expected, slot, quotas }, (settled, actual) =>
      this.#settleLocally(settled, actual),
    );
  }

  #settleLocally({ expected, slot }: Admission, actual: Actual): void {
    const { id, principal, tokens, nanoUsd } = expected;
    const { tenant } = principal;
    const bounds = tenantBounds(tenant);
    const reserved = { reservedTokens: tokens, reservedNanoUsd: nanoUsd };
    this.#local.settle({ tenant, bounds, settlements: [{ id, principal, slot, ...reserved, ...actual }] });
    // What was spent meanwhile counts for the shared budgets too, once the store is back.
    if (this.#link && actual.nanoUsd > 0)
      this.#settlements.add(tenant, {
        id,
        principal,
        slot,
        reservedTokens: 0,
        reservedNanoUsd: 0,
        ...actual,
      });
  }

  #refused(expected: Expected, refused: Refused): Refused {
    const { metrics } = this.#options;
    const tenant = metrics.tenantLabel(expected.principal.tenant.id);
    metrics.limited.inc({ tenant, because: refused.because });
    return refused;
  }

  async #send(batch: Parameters<RedisLimiter["settle"]>[0], call: number): Promise<void> {
    try {
      const decision = await this.#call((store) => store.settle(batch, call));
      if (decision) this.#budgets.observe(batch.tenant, decision);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // It would be refused again: what it reserved ends with its windows.
      this.#options.log.error({ event: "limits_failed", err: error });
    }
  }

  #call<T>(work: (store: RedisLimiter) => Promise<T>): Promise<T> {
    const [link, store] = [this.#link, this.#store];
    if (!link || !store) return Promise.reject(new Error("there is no store"));
    return link.call(() => work(store));
  }

  #changed(up: boolean): void {
    const { log, metrics } = this.#options;
    metrics.limiterLocal.set({}, up ? 0 : 1);
    log[up ? "info" : "warn"]({ event: "limits_mode", mode: up ? "shared" : "local" });
    if (up) this.#settlements.resume();
  }

  #renewLater(): void {
    const everyMs = (this.#options.settings().leaseSeconds * 1000) / RENEWALS;
    this.#renewing = setTimeout(() => {
      this.#renewing = undefined;
      if (this.#open.size === 0) return;
      this.#renew();
      this.#renewLater();
    }, everyMs);
    this.#renewing.unref();
  }

  #renew(): void {
    const leaseMs = this.#options.settings().leaseSeconds * 1000;
    const byTenant = Map.groupBy(this.#open, ({ expected }) => expected.principal.tenant.id);
    for (const admissions of byTenant.values()) {
      const open = admissions.map(({ expected }) => expected);
      for (let start = 0; start < open.length; start += MAX_BATCH) {
        const part = open.slice(start, start + MAX_BATCH);
        // The next renewal comes before the lease is over.
        this.#call((store) => store.renew(tenantOf(part), part, leaseMs)).catch(() => undefined);
      }
    }
  }
}

/** What is too large for a share only may pass once the store is back. */
function beyondShare(verdict: Verdict, { principal, tokens }: Expected): Verdict {
  const fits = (bound: number) => bound < 0 || tokens <= bound;
  const allowed = fits(tenantBounds(principal.tenant).tokens) && fits(keyBounds(principal).tokens);
  return allowed ? { ...verdict, outcome: "tokens", waitMs: WINDOW_MS } : verdict;
}

/** Their tenant as it is known last: its bounds may have changed meanwhile. */
function tenantOf(list: readonly Pick<Expected, "principal">[]): Tenant {
  const last = list.at(-1);
  if (!last) throw new Error("a batch holds at least one request");
  return last.principal.tenant;
}
