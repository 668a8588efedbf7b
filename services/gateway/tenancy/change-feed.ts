import type { Database } from "../state/database.ts";
import { type Change, changesSince } from "./store.ts";

/** With what a poll takes, well within the second after which a change must be known everywhere. */
const POLL_MS = 300;
/** So long after a poll that worked, what is known counts as what is. */
const CURRENT_MS = 1_000;

export interface FeedOptions {
  readonly database: Database;
  /** Every poll that worked, with what changed since the last one. */
  readonly followed: (changes: readonly Change[]) => void;
  /** Anything may have changed. */
  readonly reset: () => void;
}

/** Follows what changes in the database: a revoked key ends everywhere within a second. */
export class ChangeFeed {
  readonly #options: FeedOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #established = Promise.withResolvers<void>();
  #seen: number | undefined;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #isWell = false;
  #polling: Promise<void> | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.poll(), POLL_MS);
    this.#timer.unref();
  }

  /** The number of the last change that was followed. */
  get seen(): number {
    return this.#seen ?? 0;
  }

  /** Resolves once it can say what changes: what is looked up before could change unnoticed. */
  get established(): Promise<void> {
    return this.#established.promise;
  }

  /** Whether the database tells of changes now. */
  isCurrent(now: number): boolean {
    return this.#isWell && now - this.#confirmedAt < CURRENT_MS;
  }

  /** Milliseconds since all changes were known. */
  age(now: number): number {
    return now - this.#confirmedAt;
  }

  /** Asks for changes now; never rejects. */
  poll(): Promise<void> {
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  /** Resolves when everything that was written before the call is known. */
  async catchUp(): Promise<void> {
    await this.#polling;
    await this.poll();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #poll(): Promise<void> {
    const startedAt = performance.now();
    try {
      await this.#follow();
      this.#confirmedAt = startedAt;
      this.#isWell = true;
      this.#established.resolve();
    } catch {
      // The watch tells that the database is away.
      this.#isWell = false;
    }
  }

  async #follow(): Promise<void> {
    const { database, followed, reset } = this.#options;
    const since = this.#seen;
    const { changes, last } = await database.use((db) => changesSince(db, since ?? 0));
    this.#seen = last;
    // A number that went back is that of a database that was restored.
    const isNew = since === undefined || last < since;
    if (isNew) reset();
    followed(isNew ? [] : changes);
  }
}
