import { SortedSet } from "./sorted-set.ts";

/** Keys and field names are byte strings, kept as `latin1` text so that a Map can find them. */
export type Hash = ReadonlyMap<string, Buffer>;

export type Value = Buffer | Hash | SortedSet;

export interface Entry {
  readonly value: Value;
  /** Milliseconds since the epoch; undefined keeps the key for good. */
  readonly expiresAt: number | undefined;
}

interface StoredEntry extends Entry {
  readonly value: Buffer | Map<string, Buffer> | SortedSet;
  expiresAt: number | undefined;
  bytes: number;
}

// About what V8 takes for an entry of a Map with its objects.
const ENTRY_BYTES = 128;

/** All keys, with their expiry and an estimate of the memory they take. */
export class Keyspace {
  readonly #entries = new Map<string, StoredEntry>();
  readonly #now: () => number;
  #bytes = 0;
  #changes = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Grows with every change, expiry aside. */
  get changes(): number {
    return this.#changes;
  }

  get size(): number {
    return this.#entries.size;
  }

  now(): number {
    return this.#now();
  }

  get(key: string): Entry | undefined {
    return this.#live(key);
  }

  set(key: string, value: Buffer, expiresAt: number | undefined): void {
    this.#remove(key);
    // A copy: the argument is a window on a much larger chunk from the socket.
    this.#add(key, { value: Buffer.from(value), expiresAt, bytes: ENTRY_BYTES + key.length + value.length });
    this.#changes += 1;
  }

  /** Sets one field of the hash at `key`, which is created when missing. Returns whether the field is new. */
  setField(key: string, field: string, value: Buffer): boolean {
    const entry = this.#live(key) ?? this.#add(key, newEntry(key, new Map()));
    if (!(entry.value instanceof Map)) throw new TypeError("not a hash");
    const before = entry.value.get(field);
    entry.value.set(field, Buffer.from(value));
    this.#grow(entry, value.length - (before?.length ?? -ENTRY_BYTES - field.length));
    this.#changes += 1;
    return before === undefined;
  }

  /** Deletes one field; a hash without fields is deleted with its last one. */
  deleteField(key: string, field: string): boolean {
    const entry = this.#live(key);
    if (!(entry?.value instanceof Map)) return false;
    const before = entry.value.get(field);
    if (before === undefined) return false;
    entry.value.delete(field);
    this.#grow(entry, -(ENTRY_BYTES + field.length + before.length));
    if (entry.value.size === 0) this.#remove(key);
    this.#changes += 1;
    return true;
  }

  /** Sets one member's score in the sorted set at `key`, which is created when missing. */
  setScore(key: string, member: string, score: number): void {
    const entry = this.#live(key) ?? this.#add(key, newEntry(key, new SortedSet()));
    if (!(entry.value instanceof SortedSet)) throw new TypeError("not a sorted set");
    if (entry.value.score(member) === undefined) this.#grow(entry, ENTRY_BYTES + member.length);
    entry.value.set(member, score);
    this.#changes += 1;
  }

  /** Deletes one member; a sorted set without members is deleted with its last one. */
  deleteMember(key: string, member: string): boolean {
    const entry = this.#live(key);
    if (!(entry?.value instanceof SortedSet) || !entry.value.delete(member)) return false;
    this.#grow(entry, -(ENTRY_BYTES + member.length));
    if (entry.value.size === 0) this.#remove(key);
    this.#changes += 1;
    return true;
  }

  expire(key: string, expiresAt: number): void {
    const entry = this.#live(key);
    if (entry === undefined) return;
    entry.expiresAt = expiresAt;
    this.#changes += 1;
  }

  delete(key: string): boolean {
    if (this.#live(key) === undefined) return false;
    this.#remove(key);
    this.#changes += 1;
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
    this.#changes += 1;
  }

  /** Every key that has not expired. */
  *entries(): Generator<readonly [string, Entry]> {
    for (const key of this.#entries.keys()) {
      const entry = this.#live(key);
      if (entry !== undefined) yield [key, entry];
    }
  }

  /** Frees what has expired and nobody asked for since. */
  sweep(): void {
    for (const key of this.#entries.keys()) this.#live(key);
  }

  #live(key: string): StoredEntry | undefined {
    const entry = this.#entries.get(key);
    if (entry?.expiresAt === undefined || entry.expiresAt > this.#now()) return entry;
    this.#remove(key);
    return undefined;
  }

  #add(key: string, entry: StoredEntry): StoredEntry {
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    return entry;
  }

  #remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }

  #grow(entry: StoredEntry, bytes: number): void {
    entry.bytes += bytes;
    this.#bytes += bytes;
  }
}

function newEntry(key: string, value: Map<string, Buffer> | SortedSet): StoredEntry {
  return { value, expiresAt: undefined, bytes: ENTRY_BYTES + key.length };
}
