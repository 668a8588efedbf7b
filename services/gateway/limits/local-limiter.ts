import { LRUCache } from "lru-cache";
import type { Principal, Tenant } from "../tenancy/principal.ts";
import {
  type Ask,
  type Batch,
  type Bounds,
  CONCURRENCY_WAIT_MS,
  type Decision,
  isBudgeted,
  isWindowed,
  keyBounds,
  type Outcome,
  type Settlement,
  type SettlementBatch,
  SLOT_MS,
  type Spending,
  shareOf,
  type TenantBounds,
  type Verdict,
} from "./batch.ts";
import { BudgetUse } from "./spending.ts";
import { Window } from "./window.ts";

const MAX_TENANTS = 10_000;
const MAX_KEYS = 1_000;
const NOTHING_SPENT: Spending = { hourSpent: 0, hourReserved: 0, daySpent: 0, dayReserved: 0 };
/** The order in which a client is told of several reasons. */
const RANK: Readonly<Record<Outcome, number>> = {
  admitted: 0,
  concurrency: 1,
  tokens: 2,
  requests: 3,
  budget: 4,
  too_large: 5,
  revoked: 6,
};

interface Refusal {
  readonly outcome: Outcome;
  readonly waitMs: number;
}

const NO_REFUSAL: Refusal = { outcome: "admitted", waitMs: 0 };

/** A tenant or a key: what it has used. */
class Subject {
  readonly window = new Window();
  readonly open = new Set<string>();
}

class TenantUse extends Subject {
  readonly budget = new BudgetUse();
  readonly keys = new LRUCache<string, Subject>({ max: MAX_KEYS });

  key({ keyId }: Principal): Subject {
    let subject = this.keys.get(keyId);
    if (!subject) {
      subject = new Subject();
      this.keys.set(keyId, subject);
    }
    return subject;
  }
}

/** The limits' script in this process's memory. What is used least is forgotten beyond a number of tenants. */
export class LocalLimiter {
  readonly #tenants = new LRUCache<string, TenantUse>({ max: MAX_TENANTS });
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** @param gateways share the bounds of keys; those of the tenant are given as this gateway's own */
  reserve({ tenant, bounds, asks, seed, awaitSeed }: Batch, gateways = 1): Decision {
    const nowMs = this.#now();
    const use = this.#use(tenant);
    const { budget } = use;
    if (isBudgeted(bounds)) {
      budget.advance(nowMs);
      if (seed && !budget.seeded) budget.seed(seed, nowMs);
      if (!budget.seeded && awaitSeed) return { ...emptyDecision(nowMs), verdicts: [] };
    }
    if (isWindowed(bounds)) use.window.advance(Math.floor(nowMs / SLOT_MS));
    const verdicts = asks.map((ask) => {
      const ofKey = shareOf(keyBounds(ask.principal), gateways);
      return decide({ use, bounds, ofKey, ask, key: use.key(ask.principal), nowMs });
    });
    const lastSlot = isWindowed(bounds) ? use.window.lastSlot : 0;
    return { ...told(use, bounds, nowMs), lastSlot, verdicts };
  }

  settle({ tenant, bounds, settlements }: SettlementBatch): Decision {
    const nowMs = this.#now();
    const use = this.#use(tenant);
    if (isBudgeted(bounds)) use.budget.advance(nowMs);
    if (isWindowed(bounds)) use.window.advance(Math.floor(nowMs / SLOT_MS));
    for (const settlement of settlements) settle(use, { settlement, bounds, nowMs });
    return { ...told(use, bounds, nowMs), verdicts: [] };
  }

  #use({ id }: Tenant): TenantUse {
    let use = this.#tenants.get(id);
    if (!use) {
      use = new TenantUse();
      this.#tenants.set(id, use);
    }
    return use;
  }
}

function emptyDecision(nowMs: number): Omit<Decision, "verdicts"> {
  return {
    nowMs,
    spending: NOTHING_SPENT,
    alertHour: false,
    alertDay: false,
    unseeded: false,
    lastSlot: 0,
  };
}

function told({ budget }: TenantUse, bounds: TenantBounds, nowMs: number): Omit<Decision, "verdicts"> {
  if (!isBudgeted(bounds)) return emptyDecision(nowMs);
  return {
    nowMs,
    spending: budget.figures,
    alertHour: budget.hour.alerts(bounds.hourNanoUsd),
    alertDay: budget.day.alerts(bounds.dayNanoUsd),
    unseeded: !budget.seeded,
    lastSlot: 0,
  };
}

interface Settled {
  readonly settlement: Settlement;
  readonly bounds: TenantBounds;
  readonly nowMs: number;
}

function settle(use: TenantUse, { settlement, bounds, nowMs }: Settled): void {
  const slot = Math.floor(nowMs / SLOT_MS);
  const known = use.open.delete(settlement.id);
  const key = use.key(settlement.principal);
  key.open.delete(settlement.id);
  if (known && isWindowed(bounds)) correct(use.window, settlement, slot);
  if (isWindowed(keyBounds(settlement.principal))) {
    key.window.advance(slot);
    if (known) correct(key.window, settlement, slot);
  }
  if (!isBudgeted(bounds)) return;
  const at = settlement.slot < 0 ? nowMs : settlement.slot * SLOT_MS;
  use.budget.settle({
    at,
    nowMs,
    reserved: known ? settlement.reservedNanoUsd : 0,
    spent: settlement.nanoUsd,
  });
}

interface Case {
  readonly use: TenantUse;
  readonly bounds: Batch["bounds"];
  readonly key: Subject;
  readonly ofKey: Bounds;
  readonly ask: Ask;
  readonly nowMs: number;
}

function decide({ use, bounds, key, ofKey, ask, nowMs }: Case): Verdict {
  const slot = Math.floor(nowMs / SLOT_MS);
  if (isWindowed(ofKey)) key.window.advance(slot);
  let refusal = worse(refusalOf(use, bounds, ask, nowMs), refusalOf(key, ofKey, ask, nowMs));
  const budgetWait = isBudgeted(bounds) ? use.budget.wait(ask.nanoUsd, bounds, nowMs) : 0;
  if (budgetWait > 0) refusal = worse(refusal, { outcome: "budget", waitMs: budgetWait });
  if (refusal.outcome === "admitted") {
    if (isWindowed(bounds)) use.window.add(slot, 1, ask.tokens);
    if (isWindowed(ofKey)) key.window.add(slot, 1, ask.tokens);
    use.open.add(ask.id);
    key.open.add(ask.id);
    if (isBudgeted(bounds)) use.budget.reserve(ask.nanoUsd);
  }
  const used = (window: Window, kept: Bounds) => (isWindowed(kept) ? window : { requests: 0, tokens: 0 });
  const [ofTenant, own] = [used(use.window, bounds), used(key.window, ofKey)];
  return {
    ...refusal,
    waitMs: refusal.outcome === "too_large" ? 0 : refusal.waitMs,
    tenantRequests: ofTenant.requests,
    tenantTokens: ofTenant.tokens,
    keyRequests: own.requests,
    keyTokens: own.tokens,
  };
}

function refusalOf({ window, open }: Subject, bounds: Bounds, ask: Ask, nowMs: number): Refusal {
  if (bounds.tokens >= 0 && ask.tokens > bounds.tokens) return { outcome: "too_large", waitMs: 0 };
  let refusal = NO_REFUSAL;
  if (bounds.concurrency >= 0 && open.size >= bounds.concurrency)
    refusal = { outcome: "concurrency", waitMs: CONCURRENCY_WAIT_MS };
  const tokens = window.tokens + ask.tokens - bounds.tokens;
  if (bounds.tokens >= 0 && tokens > 0)
    refusal = worse(refusal, { outcome: "tokens", waitMs: window.wait("tokens", tokens, nowMs) });
  const requests = window.requests + 1 - bounds.requests;
  if (bounds.requests >= 0 && requests > 0)
    refusal = worse(refusal, { outcome: "requests", waitMs: window.wait("requests", requests, nowMs) });
  return refusal;
}

function worse(a: Refusal, b: Refusal): Refusal {
  if (b.outcome === "admitted") return a;
  const outcome = RANK[b.outcome] > RANK[a.outcome] ? b.outcome : a.outcome;
  return { outcome, waitMs: Math.max(a.waitMs, b.waitMs) };
}

function correct(window: Window, { slot, tokens, reservedTokens }: Settlement, now: number): void {
  if (slot < 0) return;
  if (tokens > reservedTokens) window.add(now, 0, tokens - reservedTokens);
  else window.giveBack(slot, reservedTokens - tokens);
}
