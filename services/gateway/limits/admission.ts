import { type Bounds, type Decision, SLOT_MS, type Verdict, WINDOW_MS } from "./batch.ts";
import type { Actual, Admitted, Expected, Quota, Refused } from "./limiter.ts";

/** How far the tighter of a tenant's and its key's bounds is used. */
interface Quotas {
  readonly requests: Quota | undefined;
  readonly tokens: Quota | undefined;
}

/** Bounds that a decision went by. */
export interface InForce {
  readonly tenant: Bounds;
  readonly key: Bounds;
}

export function quotasOf(verdict: Verdict, { tenant, key }: InForce, decision: Decision): Quotas {
  const { nowMs, lastSlot } = decision;
  const resetMs = lastSlot > 0 ? lastSlot * SLOT_MS + WINDOW_MS - nowMs : WINDOW_MS;
  const quota = (limit: number, used: number): Quota | undefined =>
    limit < 0
      ? undefined
      : {
          limit,
          remaining: Math.max(0, limit - used),
          resetSeconds: used > 0 ? resetMs / 1000 : 0,
        };
  return {
    requests: tighter(
      quota(tenant.requests, verdict.tenantRequests),
      quota(key.requests, verdict.keyRequests),
    ),
    tokens: tighter(quota(tenant.tokens, verdict.tenantTokens), quota(key.tokens, verdict.keyTokens)),
  };
}

function tighter(a: Quota | undefined, b: Quota | undefined): Quota | undefined {
  if (!a || !b) return a ?? b;
  return b.remaining < a.remaining ? b : a;
}

export function toRefused(verdict: Verdict, quotas: Quotas): Refused {
  const { outcome, waitMs } = verdict;
  if (outcome === "admitted") throw new Error("an admitted request is no refusal");
  return {
    admitted: false,
    because: outcome,
    retryAfterSeconds: Math.ceil(waitMs / 1000),
    ...quotas,
  };
}

/** A request that was let through and is not settled yet. */
export class Admission implements Admitted {
  readonly admitted = true;
  readonly expected: Expected;
  readonly slot: number;
  readonly requests: Quota | undefined;
  readonly tokens: Quota | undefined;
  readonly #onSettle: (admission: Admission, actual: Actual) => void;
  #settled = false;

  constructor(
    { expected, slot, quotas }: { expected: Expected; slot: number; quotas: Quotas },
    onSettle: (admission: Admission, actual: Actual) => void,
  ) {
    this.expected = expected;
    this.slot = slot;
    this.requests = quotas.requests;
    this.tokens = quotas.tokens;
    this.#onSettle = onSettle;
  }

  settle(actual: Actual): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#onSettle(this, actual);
  }
}
