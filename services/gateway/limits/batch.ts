import type { Limits, Principal, Tenant } from "../tenancy/principal.ts";

// What the shared limiter and the local one have in common: the words they are asked in and answer with.

/**
 * Milliseconds of one bucket of the sliding window. A window counts the bucket of this moment and all of the 60 seconds
 * before it, so that no 60 seconds whatever hold more than the limit; what it refuses too much for that is a bucket's
 * share of the minute: 0.4 %. One-second buckets would make it 1.7 %.
 */
export const SLOT_MS = 250;
/** Buckets in a minute. */
export const SLOTS = 240;
/** Milliseconds until what happens now does not count any more, at most. */
export const WINDOW_MS = (SLOTS + 1) * SLOT_MS;
export const HOUR_MS = 3_600_000;
/** What a client is told to wait for when too much is under way: nobody knows when something ends. */
export const CONCURRENCY_WAIT_MS = 1_000;
/** Stands for "no bound" and "not known" among numbers. */
export const NONE = -1;

/** Bounds as numbers, NONE for no bound. */
export interface Bounds {
  readonly requests: number;
  readonly tokens: number;
  readonly concurrency: number;
}

export interface TenantBounds extends Bounds {
  readonly hourNanoUsd: number;
  readonly dayNanoUsd: number;
}

/** One request that wants to be let through. */
export interface Ask {
  readonly id: string;
  readonly principal: Principal;
  readonly tokens: number;
  readonly nanoUsd: number;
}

/** Reservations of one tenant, decided in their order. */
export interface Batch {
  readonly tenant: Tenant;
  readonly bounds: TenantBounds;
  readonly asks: readonly Ask[];
  /** What the ledger says was spent, and in which hour since 1970 it said so; undefined while that is not known. */
  readonly seed?: Seed | undefined;
  /** Whether nothing is to be decided until the spending is known. */
  readonly awaitSeed?: boolean;
}

export interface Seed {
  readonly hour: number;
  readonly hourNanoUsd: number;
  readonly dayNanoUsd: number;
}

export const OUTCOMES = [
  "admitted",
  "requests",
  "tokens",
  "concurrency",
  "budget",
  "revoked",
  "too_large",
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** How one ask was decided, and what is used after it. */
export interface Verdict {
  readonly outcome: Outcome;
  /** Milliseconds until a repetition may succeed; 0 where it was admitted. */
  readonly waitMs: number;
  readonly tenantRequests: number;
  readonly tenantTokens: number;
  readonly keyRequests: number;
  readonly keyTokens: number;
}

/** What is spent and reserved in the running hour and day. */
export interface Spending {
  readonly hourSpent: number;
  readonly hourReserved: number;
  readonly daySpent: number;
  readonly dayReserved: number;
}

export interface Decision {
  /** The limiter's clock, in milliseconds since 1970. */
  readonly nowMs: number;
  readonly spending: Spending;
  /** Whether a budget's spending has just come to 80 %: told once for each window. */
  readonly alertHour: boolean;
  readonly alertDay: boolean;
  /** Whether the spending may lack what was spent before the limiter forgot it. */
  readonly unseeded: boolean;
  /** The tenant's last bucket with a request in it. */
  readonly lastSlot: number;
  /** Empty when it awaits the seed. */
  readonly verdicts: readonly Verdict[];
}

/** What became of one ask that was admitted. */
export interface Settlement {
  readonly id: string;
  readonly principal: Principal;
  /** The bucket it was reserved in; NONE when that is not known. */
  readonly slot: number;
  readonly reservedTokens: number;
  readonly tokens: number;
  readonly reservedNanoUsd: number;
  readonly nanoUsd: number;
}

export interface SettlementBatch {
  readonly tenant: Tenant;
  readonly bounds: TenantBounds;
  readonly settlements: readonly Settlement[];
}

const ofPrincipals = new WeakMap<Principal, Bounds>();
const ofTenants = new WeakMap<Tenant, TenantBounds>();

export function toBounds({ requestsPerMinute, tokensPerMinute, concurrency }: Limits): Bounds {
  return {
    requests: requestsPerMinute ?? NONE,
    tokens: tokensPerMinute ?? NONE,
    concurrency: concurrency ?? NONE,
  };
}

/** The bounds of a key alone. */
export function keyBounds(principal: Principal): Bounds {
  let bounds = ofPrincipals.get(principal);
  if (!bounds) {
    bounds = toBounds(principal.limits);
    ofPrincipals.set(principal, bounds);
  }
  return bounds;
}

export function tenantBounds(tenant: Tenant): TenantBounds {
  let bounds = ofTenants.get(tenant);
  if (!bounds) {
    const { hourlyUsd, dailyUsd } = tenant.budget;
    const nano = (usd: number | undefined) => (usd === undefined ? NONE : Math.round(usd * 1e9));
    bounds = { ...toBounds(tenant.limits), hourNanoUsd: nano(hourlyUsd), dayNanoUsd: nano(dailyUsd) };
    ofTenants.set(tenant, bounds);
  }
  return bounds;
}

/** One gateway's part of bounds that all of them share; never nothing at all, or nobody could go on. */
export function shareOf<B extends Bounds>(bounds: B, gateways: number): B {
  if (gateways === 1) return bounds;
  const part = (bound: number) => (bound < 0 ? bound : Math.max(1, Math.floor(bound / gateways)));
  const { requests, tokens, concurrency } = bounds;
  return {
    ...bounds,
    requests: part(requests),
    tokens: part(tokens),
    concurrency: part(concurrency),
  };
}

/** Whether a window must be kept for them. */
export function isWindowed({ requests, tokens }: Bounds): boolean {
  return requests >= 0 || tokens >= 0;
}

export function isBudgeted({ hourNanoUsd, dayNanoUsd }: TenantBounds): boolean {
  return hourNanoUsd >= 0 || dayNanoUsd >= 0;
}
