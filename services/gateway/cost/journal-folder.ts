import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const SEGMENT = /^([0-9a-f-]{36})\.(\d{8})\.jsonl$/;
const LOCK = /^([0-9a-f-]{36})\.lock$/;
const SET_ASIDE = "set-aside.jsonl";
const MAX_SET_ASIDE_BYTES = 16 * 1024 * 1024;
const ATTEMPTS = 10;
const SQLITE_BUSY = 5;

/** What a gateway that is gone has left behind. */
export interface Leftovers {
  readonly segments: readonly string[];
  /** Removes its lock, and its segments as far as they are still there. */
  remove(): void;
  /** Leaves the rest to whoever comes next. */
  release(): void;
}

/**
 * The folder that gateways share for their journals, of both colors too. Each has files that begin with its own id,
 * and a lock that the operating system holds for as long as its process lives: what has no such holder is a leftover.
 */
export class JournalFolder {
  readonly #path: string;
  readonly #owner: string;
  readonly #lock: DatabaseSync;

  /** @throws {Error} when the folder cannot be written */
  constructor(path: string) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    this.#path = path;
    [this.#owner, this.#lock] = this.#claim();
  }

  /** Path of one of this gateway's segments. */
  segment(number: number): string {
    return join(this.#path, `${this.#owner}.${String(number).padStart(8, "0")}.jsonl`);
  }

  /** Keeps lines that no ledger takes; false when there is no room for them either. */
  setAside(lines: readonly string[]): boolean {
    const file = join(this.#path, SET_ASIDE);
    try {
      if (existsSync(file) && statSync(file).size > MAX_SET_ASIDE_BYTES) return false;
      appendFileSync(file, lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
      return true;
    } catch {
      return false;
    }
  }

  /** Takes over what one gateway has left, if there is any. */
  takeLeftovers(): Leftovers | undefined {
    const names = readdirSync(this.#path);
    const owners = new Set(names.map((name) => (SEGMENT.exec(name) ?? LOCK.exec(name))?.[1]));
    for (const owner of owners) {
      const lock = owner === undefined || owner === this.#owner ? undefined : this.#tryLock(owner);
      if (owner !== undefined && lock) return this.#leftovers(owner, lock);
    }
    return undefined;
  }

  /** Gives up the lock, and what is left with it. */
  close(): void {
    if (this.#segmentsOf(this.#owner).length === 0) this.#removeLock(this.#owner);
    this.#lock.close();
  }

  // While it is held: nobody can come to believe in a lock that is about to vanish. Where files that are open cannot
  // be removed it stays, which does no harm.
  #removeLock(owner: string): void {
    try {
      rmSync(this.#lockOf(owner), { force: true });
    } catch {
      return;
    }
  }

  #leftovers(owner: string, lock: DatabaseSync): Leftovers {
    const segments = this.#segmentsOf(owner);
    return {
      segments,
      release: () => lock.close(),
      remove: () => {
        for (const segment of segments) rmSync(segment, { force: true });
        this.#removeLock(owner);
        lock.close();
      },
    };
  }

  #segmentsOf(owner: string): string[] {
    // Somebody may have removed the folder, which must not keep the gateway from ending well.
    if (!existsSync(this.#path)) return [];
    const names = readdirSync(this.#path).filter((name) => SEGMENT.exec(name)?.[1] === owner);
    return names.sort().map((name) => join(this.#path, name));
  }

  #lockOf(owner: string): string {
    return join(this.#path, `${owner}.lock`);
  }

  // Somebody who looks for leftovers may get hold of a lock before the one who made it.
  #claim(): [string, DatabaseSync] {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const owner = randomUUID();
      const lock = this.#tryLock(owner);
      if (lock && existsSync(this.#lockOf(owner))) return [owner, lock];
      lock?.close();
    }
    throw new Error("no lock of its own could be had");
  }

  // As for the embedded database: SQLite's lock is one of the operating system, so it ends with its process however
  // that ends, and ids of processes, which containers share, need not be judged.
  #tryLock(owner: string): DatabaseSync | undefined {
    const lock = new DatabaseSync(this.#lockOf(owner));
    try {
      lock.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
      return lock;
    } catch (error) {
      lock.close();
      if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return undefined;
      throw error;
    }
  }
}
