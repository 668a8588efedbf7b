import { setTimeout as wait } from "node:timers/promises";
import type { Kysely } from "kysely";
import { LRUCache } from "lru-cache";
import type { Database } from "../state/database.ts";
import type { Tables } from "../state/tables.ts";
import { ChangeFeed } from "./change-feed.ts";
import { Lookups } from "./lookups.ts";
import { type Change, type KeyRow, loadKeys, loadTenants, noteUses, type TenantRow } from "./store.ts";

const MAX_TENANTS = 10_000;
/** What the first requests wait for a database that was not reached yet. */
const ESTABLISH_MS = 300;

export interface RowsOptions {
  readonly database: Database;
  /** Hears of every key that was looked up, before anything else can change; undefined: there is none. */
  readonly takeKey: (sha256: string, row: KeyRow | undefined) => void;
  /** Every look for changes that worked, with what changed since the last one. */
  readonly followed: (changes: readonly Change[]) => void;
  /** Anything may have changed. */
  readonly reset: () => void;
}

/** Keys and tenants in the database, asked for when they are needed, and their changes. */
export class TenancyRows {
  readonly feed: ChangeFeed;
  readonly #database: Database;
  readonly #keys: Lookups<KeyRow>;
  readonly #tenantLookups: Lookups<TenantRow>;
  readonly #tenants = new LRUCache<string, TenantRow>({ max: MAX_TENANTS });

  constructor({ database, takeKey, followed, reset }: RowsOptions) {
    this.#database = database;
    this.feed = new ChangeFeed({
      database,
      followed: (changes) => {
        for (const { kind, name } of changes) if (kind === "tenant") this.#tenants.delete(name);
        followed(changes);
      },
      reset: () => {
        this.#tenants.clear();
        reset();
      },
    });
    const seen = () => this.feed.seen;
    this.#keys = new Lookups({
      load: (hashes) => this.#use((db) => loadKeys(db, hashes)),
      nameOf: ({ sha256 }) => sha256,
      seen,
      take: takeKey,
    });
    this.#tenantLookups = new Lookups({
      load: (ids) => this.#use((db) => loadTenants(db, ids)),
      nameOf: ({ id }) => id,
      seen,
      take: (id, row) => {
        if (row) this.#tenants.set(id, row);
      },
    });
  }

  /** @throws {ApiError} `unavailable` when the database does not say in time */
  key(sha256: string): Promise<KeyRow | undefined> {
    return this.#keys.find(sha256);
  }

  /** @throws {ApiError} `unavailable` when the database does not say in time */
  async tenant(id: string): Promise<TenantRow | undefined> {
    return this.#tenants.get(id) ?? this.#tenantLookups.find(id);
  }

  /** Notes that keys were used. Never rejects: nothing depends on it. */
  async noteUses(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.#database.use((db) => noteUses(db, ids, new Date())).catch(() => undefined);
  }

  close(): void {
    this.feed.close();
  }

  async #use<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    if (this.feed.age(performance.now()) === Number.POSITIVE_INFINITY) {
      await Promise.race([this.feed.established, wait(ESTABLISH_MS, undefined, { ref: false })]);
    }
    return this.#database.use(work);
  }
}
