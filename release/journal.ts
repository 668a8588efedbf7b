import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import path from "node:path";
import { type Entry, entryFile, latestEntry, readEntry, revisions } from "./contract/files.ts";

/** Someone else wrote the next decision first: what this one rests on is out of date. */
export class JournalConflict extends Error {
  constructor(revision: number) {
    super(`decision ${revision} of the release journal was made by somebody else meanwhile`);
    this.name = "JournalConflict";
  }
}

export type Decision = Pick<Entry, "kind" | "text" | "numbers" | "head">;

/** Durable decisions about an environment's releases; one writer at a time, by optimistic lock. */
export interface Journal {
  latest(): Entry | undefined;
  /** All decisions, oldest first; an old one that cannot be read is left out. */
  entries(): Entry[];
  /**
   * Writes the decision that follows `revision`.
   * @throws JournalConflict when that is not the latest one.
   */
  append(revision: number, decision: Decision): Entry;
}

/** A journal in a folder: one file per decision, which exists whole or not at all. */
export class FileJournal implements Journal {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  latest(): Entry | undefined {
    return latestEntry(this.#folder);
  }

  entries(): Entry[] {
    return revisions(this.#folder).flatMap((revision) => {
      try {
        return [readEntry(this.#folder, revision)];
      } catch {
        // What is over can be looked at no more; the latest decision, which counts, is read by itself.
        return [];
      }
    });
  }

  append(revision: number, decision: Decision): Entry {
    const next = revision + 1;
    const entry: Entry = { revision: next, at: new Date().toISOString(), by: author(), ...decision };
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    // The latest is looked at as well: a link alone would let a writer fill a gap.
    if ((revisions(this.#folder).at(-1) ?? 0) !== revision) throw new JournalConflict(next);
    this.#publish(entryFile(next), JSON.stringify(entry, null, 2), next);
    return entry;
  }

  #publish(name: string, text: string, revision: number): void {
    const draft = path.join(this.#folder, `.${name}.${process.pid}.${Math.random().toString(36).slice(2)}`);
    try {
      writeDurably(draft, text);
      linkSync(draft, path.join(this.#folder, name));
      syncFolder(this.#folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw new JournalConflict(revision);
      throw error;
    } finally {
      rmSync(draft, { force: true });
    }
  }
}

function writeDurably(file: string, text: string): void {
  const handle = openSync(file, "wx", 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Who decides: the user and the machine. */
export function author(): string {
  return `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under an id that has no name.
    return String(process.getuid?.() ?? "unknown");
  }
}
