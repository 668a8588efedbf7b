import { LRUCache } from "lru-cache";
import { HOUR_MS, type Seed } from "./batch.ts";

/** What the ledger holds of a tenant's spending in the running UTC hour and day, in billionths of a US dollar. */
export type SpentLookup = (tenant: string) => Promise<{ hourNanoUsd: number; dayNanoUsd: number }>;

/** A request waits for the ledger at most so long, and only when the store does not know the tenant's spending. */
const LIMIT_MS = 300;
const RETRY_MS = 5_000;
const MAX_TENANTS = 10_000;

interface Attempt {
  seed: Seed | undefined;
  /** On the clock of `performance.now()`. */
  retryAt: number;
}

/** Finds out from the ledger what tenants have spent, where the key-value store has forgotten it or never knew. */
export class Seeds {
  readonly #lookup: SpentLookup | undefined;
  /** Tenants whose spending could not be told when it was asked for. */
  readonly #missing = new LRUCache<string, Attempt>({ max: MAX_TENANTS });
  readonly #asking = new Map<string, Promise<Seed | undefined>>();

  constructor(lookup: SpentLookup | undefined) {
    this.#lookup = lookup;
  }

  /** What a reservation says of the spending: to be awaited, known by now, or to be done without. */
  forReservation(tenant: string): { readonly seed?: Seed | undefined; readonly awaitSeed: boolean } {
    if (!this.#lookup) return { awaitSeed: false };
    const missing = this.#missing.get(tenant);
    if (!missing) return { awaitSeed: true };
    if (!missing.seed && performance.now() >= missing.retryAt) void this.find(tenant);
    return { seed: missing.seed, awaitSeed: false };
  }

  /** The spending is known to the store now. */
  done(tenant: string): void {
    this.#missing.delete(tenant);
  }

  /** Asks the ledger; undefined when it does not say so in time, then it is asked again later. Never rejects. */
  async find(tenant: string): Promise<Seed | undefined> {
    let asked = this.#asking.get(tenant);
    if (!asked) {
      asked = this.#ask(tenant).finally(() => this.#asking.delete(tenant));
      this.#asking.set(tenant, asked);
    }
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), LIMIT_MS);
    const seed = await Promise.race([asked, late.promise]);
    clearTimeout(timer);
    return seed;
  }

  async #ask(tenant: string): Promise<Seed | undefined> {
    const attempt: Attempt = { seed: undefined, retryAt: performance.now() + RETRY_MS };
    this.#missing.set(tenant, attempt);
    const hour = Math.floor(Date.now() / HOUR_MS);
    try {
      const spent = await this.#lookup?.(tenant);
      attempt.seed = spent && { hour, ...spent };
    } catch {
      // Its own watch tells that the ledger is away.
    }
    return attempt.seed;
  }
}
