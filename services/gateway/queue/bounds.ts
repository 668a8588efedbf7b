import type { QueueSettings } from "./settings.ts";
import { RANKS, type Rank, type Waiting } from "./waiting.ts";

/** Why a request got no place in the queue. */
export type Refusal = "tenant" | "tier" | "length" | "bytes";

interface Held {
  count: number;
  bytes: number;
}

const held = (): Held => ({ count: 0, bytes: 0 });

/** Counts what waits, and knows whether one more may. */
export class Bounds {
  readonly #all = held();
  readonly #ranks: Readonly<Record<Rank, Held>> = {
    probe: held(),
    gold: held(),
    silver: held(),
    bronze: held(),
    batch: held(),
  };
  readonly #tenants = new Map<string, Held>();

  get count(): number {
    return this.#all.count;
  }

  get bytes(): number {
    return this.#all.bytes;
  }

  add({ rank, tenant, bytes }: Waiting): void {
    let ofTenant = this.#tenants.get(tenant);
    if (!ofTenant) {
      ofTenant = held();
      this.#tenants.set(tenant, ofTenant);
    }
    this.#change([this.#all, this.#ranks[rank], ofTenant], 1, bytes);
  }

  remove({ rank, tenant, bytes }: Waiting): void {
    const ofTenant = this.#tenants.get(tenant) ?? held();
    this.#change([this.#all, this.#ranks[rank], ofTenant], -1, -bytes);
    if (ofTenant.count === 0) this.#tenants.delete(tenant);
  }

  /** Why this one may not wait; undefined if it may. */
  refusal(
    { rank, tenant, bytes }: Pick<Waiting, "rank" | "tenant" | "bytes">,
    settings: QueueSettings,
  ): Refusal | undefined {
    const { length, maxBytes, tenantShare, tierShares } = settings;
    const exceeds = ({ count, bytes: taken }: Held, share: number): boolean =>
      count + 1 > share * length || taken + bytes > share * maxBytes;
    const ofTenant = this.#tenants.get(tenant);
    // Our own checks are few and must show what a client would get, so only the whole queue bounds them. And one
    // request alone is never too much of its tenant or tier.
    if (rank !== "probe" && ofTenant && exceeds(ofTenant, tenantShare)) return "tenant";
    if (this.#all.count + 1 > length) return "length";
    if (this.#all.bytes + bytes > maxBytes) return "bytes";
    if (rank === "probe") return undefined;
    const below = this.#from(rank);
    return below.count > 0 && exceeds(below, tierShares[rank]) ? "tier" : undefined;
  }

  /** What waits with this rank and all below it. */
  #from(rank: Rank): Held {
    const sum = held();
    for (let index = RANKS.indexOf(rank); index < RANKS.length; index += 1) {
      const { count, bytes } = this.#ranks[RANKS[index] ?? rank];
      sum.count += count;
      sum.bytes += bytes;
    }
    return sum;
  }

  #change(all: readonly Held[], count: number, bytes: number): void {
    for (const one of all) {
      one.count += count;
      one.bytes += bytes;
    }
  }
}
