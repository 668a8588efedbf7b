import type { Principal } from "../tenancy/principal.ts";

/** What a request is expected to take. */
export interface Expected {
  /** Tells the request from all others, also across gateways. */
  readonly id: string;
  readonly principal: Principal;
  readonly tokens: number;
  /** Billionths of a US dollar. */
  readonly nanoUsd: number;
}

/** What it took. */
export interface Actual {
  readonly tokens: number;
  readonly nanoUsd: number;
}

/** How far one of the tenant's or the key's bounds is used, for the client's x-ratelimit headers. */
export interface Quota {
  readonly limit: number;
  readonly remaining: number;
  /** Seconds until nothing of it is used any more. */
  readonly resetSeconds: number;
}

export interface Admitted {
  readonly admitted: true;
  readonly requests: Quota | undefined;
  readonly tokens: Quota | undefined;
  /** Gives back what was not used. Call it exactly once, whatever became of the request; it never fails. */
  settle(actual: Actual): void;
}

export interface Refused {
  readonly admitted: false;
  /** `too_large`: it takes more tokens than its tenant or key may use in a whole minute. */
  readonly because: "requests" | "tokens" | "concurrency" | "budget" | "revoked" | "too_large";
  /** Whole seconds, rounded up; 0 where no waiting helps. */
  readonly retryAfterSeconds: number;
  readonly requests: Quota | undefined;
  readonly tokens: Quota | undefined;
}

/** Decides who may go on, right across all gateways that share a key-value store. */
export interface Limiter {
  /** Never rejects: without the store it goes by this gateway's own share. */
  reserve(expected: Expected): Promise<Admitted | Refused>;
  /** Settles what it still can, within a moment. */
  close(): Promise<void>;
}
