import { ApiError } from "../api/errors.ts";
import type { Loaded } from "./store.ts";

const MAX_BATCH = 1_000;
const MAX_WAITING = 4_000;
const MAX_BATCHES_UNDER_WAY = 2;
/** What a request waits for the database at most. */
const LIMIT_MS = 300;
const MAX_ATTEMPTS = 3;

export interface LookupsOptions<Row> {
  readonly load: (names: readonly string[]) => Promise<Loaded<Row>>;
  readonly nameOf: (row: Row) => string;
  /** The number of the last change that was followed: rows from before it are not taken. */
  readonly seen: () => number;
  /** Hears of every row that was looked up, before anything else can change; undefined: there is none. */
  readonly take: (name: string, row: Row | undefined) => void;
}

/**
 * Asks the database for rows by name, many names at once: however many requests ask, a few statements are under way,
 * and those that ask for the same name wait for one answer. What is too much is refused.
 */
export class Lookups<Row> {
  readonly #options: LookupsOptions<Row>;
  readonly #asked = new Map<string, PromiseWithResolvers<Row | undefined>>();
  #waiting: string[] = [];
  #underWay = 0;

  constructor(options: LookupsOptions<Row>) {
    this.#options = options;
  }

  /** The row of this name; undefined if there is none. @throws {ApiError} `unavailable` when the database does not say */
  find(name: string): Promise<Row | undefined> {
    const asked = this.#asked.get(name);
    if (asked) return asked.promise;
    if (this.#asked.size >= MAX_WAITING) return Promise.reject(new ApiError("unavailable"));
    const answer = Promise.withResolvers<Row | undefined>();
    this.#asked.set(name, answer);
    this.#waiting.push(name);
    // Those that come in the same turn of the event loop go in one statement.
    if (this.#waiting.length === 1) queueMicrotask(() => this.#next());
    return answer.promise;
  }

  #next(): void {
    while (this.#waiting.length > 0 && this.#underWay < MAX_BATCHES_UNDER_WAY) {
      const names = this.#waiting.slice(0, MAX_BATCH);
      this.#waiting = this.#waiting.slice(MAX_BATCH);
      this.#underWay += 1;
      void this.#run(names).finally(() => {
        this.#underWay -= 1;
        this.#next();
      });
    }
  }

  async #run(names: readonly string[]): Promise<void> {
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), LIMIT_MS);
    try {
      const found = await Promise.race([this.#load(names), late.promise]);
      if (!found) throw new ApiError("unavailable");
      for (const name of names) this.#answer(name, found.get(name));
    } catch {
      for (const name of names) this.#refuse(name);
    } finally {
      clearTimeout(timer);
    }
  }

  async #load(names: readonly string[]): Promise<Map<string, Row> | undefined> {
    const { load, nameOf, seen } = this.#options;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const { rows, change } = await load(names);
      if (change >= seen()) return new Map(rows.map((row) => [nameOf(row), row]));
    }
    return undefined;
  }

  #answer(name: string, row: Row | undefined): void {
    this.#options.take(name, row);
    this.#asked.get(name)?.resolve(row);
    this.#asked.delete(name);
  }

  #refuse(name: string): void {
    this.#asked.get(name)?.reject(new ApiError("unavailable"));
    this.#asked.delete(name);
  }
}
