import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import type { Log } from "../log.ts";
import type { Database } from "../state/database.ts";
import { Journal, type JournalBounds } from "./journal.ts";
import { JournalFolder, type Leftovers } from "./journal-folder.ts";
import { insertLines } from "./ledger-insert.ts";
import { isLine, toLine } from "./ledger-row.ts";
import { deleteOld } from "./retention.ts";
import type { UsageRecord } from "./usage-record.ts";

const GATHER_MS = 200;
const MAX_ROWS = 500;
const MIN_ROWS = 20;
const LEFTOVERS_MS = 5_000;
const DELETE_MS = 60_000;
// How long an end waits for the ledger; what it cannot take stays in the journal's folder.
const CLOSE_MS = 2_000;
// Data exceptions and violated constraints: the row is at fault, and would be for ever.
const UNSTORABLE = /^2[23]/;

export interface LedgerOptions {
  readonly database: Database;
  readonly log: Log;
  /** Where the journal's files go. @default undefined: it is in memory, and ends with the process */
  readonly folder: string | undefined;
  /** Days that each request is kept. */
  readonly keepDays: () => number;
}

/**
 * Writes every settled request into the database once: first into the local journal, from there in batches. While the
 * database is away the journal grows; what gateways that died have left in its folder is written as well.
 */
export class Ledger {
  readonly #database: Database;
  readonly #log: Log;
  readonly #folder: JournalFolder | undefined;
  readonly #journal: Journal;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  #leftoversAt = 0;
  #deleteAt = 0;
  readonly #keepDays: () => number;
  #batch = MAX_ROWS;

  /** @throws {Error} when the folder cannot be written */
  constructor({ database, log, folder, keepDays }: LedgerOptions) {
    this.#keepDays = keepDays;
    this.#database = database;
    this.#log = log;
    this.#folder = folder === undefined ? undefined : new JournalFolder(folder);
    this.#journal = new Journal(this.#folder, (error) =>
      log.error({ event: "journal_failed", err: error }, "the journal's disk fails: memory holds its rows"),
    );
    this.#timer = setInterval(() => this.#run(), GATHER_MS);
    this.#timer.unref();
  }

  /** Settled requests that are not in the database yet. */
  get backlog(): number {
    return this.#journal.rows;
  }

  /** Whether what further requests would cost could not be kept. */
  isFull(bounds: JournalBounds): boolean {
    return this.#journal.isFull(bounds);
  }

  /** Keeps a record; never fails. Each id counts once. */
  add(record: UsageRecord): void {
    this.#journal.append(toLine(record));
    if (this.#journal.rows >= MAX_ROWS) this.#run();
  }

  /** Writes what it can in a short time; the rest stays in the folder. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const limit = AbortSignal.timeout(CLOSE_MS);
    const patience = wait(CLOSE_MS, undefined, { ref: false });
    while (this.#journal.rows > 0 && this.#database.isReady && !limit.aborted) {
      this.#run();
      await Promise.race([this.#running, patience]);
    }
    await Promise.race([this.#running, patience]);
    await this.#journal.close();
    if (this.#journal.rows > 0 && !this.#folder) {
      const fields = { event: "ledger_lost", rows: this.#journal.rows };
      this.#log.error(
        fields,
        "settled requests end with this process: the ledger is away, and no folder is set",
      );
    }
    this.#folder?.close();
  }

  #run(): void {
    if (this.#running || !this.#database.isReady) return;
    this.#running = this.#writeAll()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#running = undefined;
      });
  }

  #failed(error: unknown): void {
    // Its own watch tells when the database is away, which is also when it refuses what is no fault of a row.
    this.#batch = Math.max(MIN_ROWS, Math.floor(this.#batch / 2));
    if (error instanceof pg.DatabaseError) this.#log.warn({ event: "ledger_refused", code: error.code });
  }

  async #writeAll(): Promise<void> {
    do {
      const next = await this.#journal.oldest();
      if (!next) break;
      await this.#insert(next.lines);
      await this.#journal.done(next.segment);
      // What has come meanwhile gathers until the next turn: few rows cost nearly as much as many.
    } while (this.#journal.rows >= MAX_ROWS);
    if (this.#folder && performance.now() >= this.#leftoversAt) {
      this.#leftoversAt = performance.now() + LEFTOVERS_MS;
      for (let left = this.#folder.takeLeftovers(); left; left = this.#folder.takeLeftovers()) {
        await this.#writeLeftovers(left);
      }
    }
    if (performance.now() < this.#deleteAt) return;
    this.#deleteAt = performance.now() + DELETE_MS;
    const isMore = await this.#database.use((db) => deleteOld(db, this.#keepDays()));
    if (isMore) this.#deleteAt = 0;
  }

  async #writeLeftovers(left: Leftovers): Promise<void> {
    try {
      for (const segment of left.segments) await this.#writeSegment(segment);
    } catch (error) {
      left.release();
      throw error;
    }
    left.remove();
  }

  async #writeSegment(file: string): Promise<void> {
    const found = (await readFile(file, "utf8")).split("\n");
    // A process that is killed while it writes leaves its last line torn: without an end, and often without its rest.
    const last = found.pop() ?? "";
    const torn = last !== "" && !isLine(last);
    const lines = [...found, torn ? "" : last].filter((line) => line !== "");
    const whole = lines.filter(isLine);
    await this.#insert(whole);
    if (whole.length < lines.length) this.#setAside(lines.filter((line) => !isLine(line)));
    const fields = { event: "journal_replayed", file: basename(file), rows: whole.length, torn };
    this.#log.info(fields, "a journal that was left behind is in the ledger");
  }

  async #insert(lines: readonly string[]): Promise<void> {
    for (let start = 0; start < lines.length; ) {
      const batch = lines.slice(start, start + this.#batch);
      await this.#insertBatch(batch);
      start += batch.length;
      this.#batch = Math.min(MAX_ROWS, this.#batch + MIN_ROWS);
    }
  }

  /** Halves a batch that is refused until the row that is at fault stands alone. */
  async #insertBatch(lines: readonly string[]): Promise<void> {
    try {
      await this.#database.use((db) => insertLines(db, lines));
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || !UNSTORABLE.test(error.code ?? "")) throw error;
      if (lines.length === 1) return this.#setAside(lines);
      const half = Math.ceil(lines.length / 2);
      await this.#insertBatch(lines.slice(0, half));
      await this.#insertBatch(lines.slice(half));
    }
  }

  #setAside(lines: readonly string[]): void {
    const kept = this.#folder?.setAside(lines) ?? false;
    const fields = { event: "ledger_set_aside", rows: lines.length, kept };
    this.#log.error(
      fields,
      "rows that the ledger cannot take; the journal's folder keeps them in set-aside.jsonl",
    );
  }
}
