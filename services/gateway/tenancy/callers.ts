import { LRUCache } from "lru-cache";
import type { Principal } from "./principal.ts";
import type { KeyRow } from "./store.ts";
import type { VerifiedToken } from "./tokens.ts";

/** About 20 MB when it is full. */
const MAX_KNOWN = 20_000;
const MAX_UNKNOWN = 20_000;
/** So long nobody asks again what a wrong key stands for. */
const UNKNOWN_MS = 5_000;
/** After so long a token's signature is checked again: its issuer may have withdrawn the key. */
const TOKEN_MS = 300_000;

/** A key or token that is known, also where it is worth nothing any more. */
export interface Caller {
  readonly tenant: string;
  readonly source: KeyRow | VerifiedToken;
  /** Whether the database decides what it is worth. */
  readonly needsDatabase: boolean;
  /** Undefined for one that is refused. */
  principal: Principal | undefined;
  /** Whether it was used since that was noted last. */
  isUsed: boolean;
  /** On the clock of `performance.now()`: when the key-value store was asked last. */
  askedAt: number;
}

/** What is known of keys and tokens by their hash. Wrong ones have a place of their own and push nothing out. */
export class Callers {
  readonly #known = new LRUCache<string, Caller>({ max: MAX_KNOWN });
  readonly #unknown = new LRUCache<string, true>({ max: MAX_UNKNOWN, ttl: UNKNOWN_MS });
  readonly #used = new Set<string>();

  get(sha256: string): Caller | undefined {
    return this.#known.get(sha256);
  }

  isUnknown(sha256: string): boolean {
    return this.#unknown.has(sha256);
  }

  take(sha256: string, caller: Caller | undefined): void {
    if (!caller) this.#unknown.set(sha256, true);
    else if (isKey(caller.source)) this.#known.set(sha256, caller);
    else this.#known.set(sha256, caller, { ttl: TOKEN_MS });
  }

  /** @returns whether it was known */
  forget(sha256: string): boolean {
    const caller = this.#known.peek(sha256);
    if (caller) this.#noteUse(caller);
    return this.#known.delete(sha256);
  }

  /** Forgets all callers of the tenant. @returns the hashes of its keys that were known */
  forgetTenant(tenant: string): string[] {
    const own = [...this.#known].filter(([, caller]) => caller.tenant === tenant);
    for (const [sha256] of own) this.forget(sha256);
    return own.filter(([, { source }]) => isKey(source)).map(([sha256]) => sha256);
  }

  clear(): void {
    this.#known.clear();
    this.#unknown.clear();
  }

  /** Makes anew what depends on the settings. */
  rebuild(make: (source: KeyRow) => Principal | undefined): void {
    for (const [sha256, caller] of [...this.#known]) {
      if (isKey(caller.source)) caller.principal = make(caller.source);
      else this.#known.delete(sha256);
    }
    this.#unknown.clear();
  }

  /** Ids of the keys that were used since the last call. */
  takeUsed(): string[] {
    for (const caller of this.#known.values()) this.#noteUse(caller);
    const ids = [...this.#used];
    this.#used.clear();
    return ids;
  }

  #noteUse(caller: Caller): void {
    if (caller.isUsed && isKey(caller.source)) this.#used.add(caller.source.id);
    caller.isUsed = false;
  }
}

function isKey(source: Caller["source"]): source is KeyRow {
  return "sha256" in source;
}
