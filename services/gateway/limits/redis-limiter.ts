import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Principal, Tenant } from "../tenancy/principal.ts";
import {
  type Batch,
  type Decision,
  isWindowed,
  keyBounds,
  NONE,
  OUTCOMES,
  type SettlementBatch,
  type Verdict,
} from "./batch.ts";
import { keyNames, tenantNames } from "./keys.ts";
import { type LimitScripts, limitScripts, type Script } from "./scripts.ts";

/** Numbers before the verdicts in an answer, and numbers of each verdict. */
const HEAD = 8;
const PER_VERDICT = 6;

type Word = string | number;

/** Something that is under way. */
export interface Open {
  readonly id: string;
  readonly principal: Principal;
}

/** Runs the limits' scripts in the key-value store: one call for each batch. */
export class RedisLimiter {
  readonly #redis: Redis;
  readonly #scripts: LimitScripts;
  // Tells this gateway's settlements from all others'.
  readonly #gateway = randomUUID();

  constructor(redis: Redis, scripts: LimitScripts = limitScripts()) {
    this.#redis = redis;
    this.#scripts = scripts;
  }

  /** @param leaseMs milliseconds after which a request counts as lost unless it is renewed */
  async reserve(batch: Batch, leaseMs: number): Promise<Decision> {
    const { tenant, bounds, asks, seed, awaitSeed } = batch;
    const { window, open, budget, disabled } = tenantNames(tenant);
    const keys = numbered(asks);
    const names: string[] = [window, open, budget, disabled];
    const args: Word[] = [leaseMs, bounds.requests, bounds.tokens, bounds.concurrency];
    args.push(bounds.hourNanoUsd, bounds.dayNanoUsd, seed?.hour ?? NONE, seed?.hourNanoUsd ?? 0);
    args.push(seed?.dayNanoUsd ?? 0, awaitSeed ? 1 : 0, keys.size);
    for (const [, principal] of keys.values()) {
      const ofKey = keyNames(principal);
      names.push(ofKey.window, ofKey.open, ofKey.revoked);
      const { requests, tokens, concurrency } = keyBounds(principal);
      args.push(requests, tokens, concurrency);
    }
    for (const { id, principal, tokens, nanoUsd } of asks)
      args.push(keys.get(principal.keyId)?.[0] ?? 0, id, tokens, nanoUsd);
    return toDecision(await this.#call(this.#scripts.reserve, names, args), asks.length);
  }

  /**
   * @param call grows with every call; a call that is repeated with its number counts once
   * @returns undefined for a repetition
   */
  async settle(
    { tenant, bounds, settlements }: SettlementBatch,
    call: number,
  ): Promise<Decision | undefined> {
    const { window, open, budget, settled } = tenantNames(tenant);
    const keys = numbered(settlements);
    const names: string[] = [window, open, budget, `${settled}:${this.#gateway}`];
    const args: Word[] = [call, isWindowed(bounds) ? 1 : 0];
    args.push(bounds.hourNanoUsd, bounds.dayNanoUsd, keys.size);
    for (const [, principal] of keys.values()) {
      const ofKey = keyNames(principal);
      names.push(ofKey.window, ofKey.open);
      args.push(isWindowed(keyBounds(principal)) ? 1 : 0);
    }
    for (const { id, principal, slot, ...amounts } of settlements) {
      const { reservedTokens, tokens, reservedNanoUsd, nanoUsd } = amounts;
      args.push(keys.get(principal.keyId)?.[0] ?? 0, id, slot, reservedTokens, tokens);
      args.push(reservedNanoUsd, nanoUsd);
    }
    const answer = await this.#call(this.#scripts.settle, names, args);
    return answer.length > 1 ? toDecision(answer, 0) : undefined;
  }

  /** Says that these are still under way. */
  async renew(tenant: Tenant, open: readonly Open[], leaseMs: number): Promise<void> {
    const keys = numbered(open.filter(({ principal }) => keyBounds(principal).concurrency >= 0));
    const names = [tenantNames(tenant).open];
    const args: Word[] = [leaseMs];
    for (const [, principal] of keys.values()) names.push(keyNames(principal).open);
    for (const { id, principal } of open) {
      args.push(1, id);
      const key = keys.get(principal.keyId);
      if (key) args.push(key[0] + 1, id);
    }
    await this.#call(this.#scripts.renew, names, args);
  }

  async #call({ sha1, source }: Script, names: string[], args: Word[]): Promise<number[]> {
    try {
      return (await this.#redis.evalsha(sha1, names.length, ...names, ...args)) as number[];
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return (await this.#redis.eval(source, names.length, ...names, ...args)) as number[];
    }
  }
}

/** The different keys, each with its number from 1. */
function numbered(list: readonly { readonly principal: Principal }[]): Map<string, [number, Principal]> {
  const keys = new Map<string, [number, Principal]>();
  for (const { principal } of list)
    if (!keys.has(principal.keyId)) keys.set(principal.keyId, [keys.size + 1, principal]);
  return keys;
}

function toDecision(answer: readonly number[], asks: number): Decision {
  const at = (index: number) => answer[index] ?? 0;
  const verdicts: Verdict[] = [];
  const decided = answer.length >= HEAD + asks * PER_VERDICT ? asks : 0;
  for (let i = 0; i < decided; i += 1) {
    const first = HEAD + i * PER_VERDICT;
    verdicts.push({
      outcome: OUTCOMES[at(first)] ?? "requests",
      waitMs: at(first + 1),
      tenantRequests: at(first + 2),
      tenantTokens: at(first + 3),
      keyRequests: at(first + 4),
      keyTokens: at(first + 5),
    });
  }
  return {
    nowMs: at(0),
    spending: { hourSpent: at(1), hourReserved: at(2), daySpent: at(3), dayReserved: at(4) },
    alertHour: (at(5) & 1) === 1,
    alertDay: (at(5) & 2) === 2,
    unseeded: at(6) === 1,
    lastSlot: at(7),
    verdicts,
  };
}
