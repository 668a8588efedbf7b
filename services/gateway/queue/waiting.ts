import type { Principal, Tier } from "../tenancy/principal.ts";
import type { UpstreamFailure } from "../upstream/failure.ts";

/** Whom a request is for, in the order in which they are served: our own checks first, batches last. */
export const RANKS = ["probe", "gold", "silver", "bronze", "batch"] as const satisfies readonly (
  | Tier
  | string
)[];
export type Rank = (typeof RANKS)[number];

/** What the queue knows of a request. */
export interface Entrant {
  readonly body: { readonly length: number };
  readonly principal: Principal | undefined;
  /** Whether it is a request of a batch, that nobody waits for at a connection. */
  readonly isBatch: boolean;
  /** Its place in the queue while it waits; whoever ends the request early tells it. */
  waiting: Waiting | undefined;
  /** Milliseconds that it has waited; undefined where it never had to. */
  queuedMs: number | undefined;
  /** Is told of its wait; undefined where it is not traced. */
  readonly trace?: { waited(since: number): void } | undefined;
}

/** Gives a place at the model back; call it exactly once for each place. */
export type Release = () => void;

export function rankOf({ isBatch, principal }: Entrant): Rank {
  if (isBatch) return "batch";
  if (principal?.probe) return "probe";
  return principal?.tenant.tier ?? "bronze";
}

/** Ends the wait of a request. */
export interface Ends {
  /** Takes it out of the queue since it failed. */
  leave(waiting: Waiting, failure: UpstreamFailure): void;
}

/** A request that waits. */
export class Waiting {
  readonly entrant: Entrant;
  readonly rank: Rank;
  readonly tenant: string;
  readonly bytes: number;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly since: number;
  readonly place = Promise.withResolvers<Release>();
  readonly #ends: Ends;

  constructor(entrant: Entrant, since: number, ends: Ends) {
    this.entrant = entrant;
    this.rank = rankOf(entrant);
    this.tenant = entrant.principal?.tenant.id ?? "";
    this.bytes = entrant.body.length;
    this.since = since;
    this.#ends = ends;
    entrant.waiting = this;
  }

  /** Ends the wait at once: the client has left, or the request's deadline has passed. */
  cancel(failure: UpstreamFailure): void {
    this.#ends.leave(this, failure);
  }
}
