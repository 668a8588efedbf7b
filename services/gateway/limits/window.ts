import { SLOT_MS, SLOTS, WINDOW_MS } from "./batch.ts";

interface Cell {
  requests: number;
  tokens: number;
}

/** The sliding window of one subject in memory; the script keeps the same in a hash. */
export class Window {
  requests = 0;
  tokens = 0;
  /** The last bucket that something was added to; 0 for none. */
  lastSlot = 0;
  #from = 0;
  readonly #cells = new Map<number, Cell>();

  /** Forgets what is older than a minute at this bucket. */
  advance(slot: number): void {
    const oldest = slot - SLOTS;
    if (this.lastSlot < oldest || this.#from > slot) {
      this.#cells.clear();
      this.requests = 0;
      this.tokens = 0;
      this.lastSlot = 0;
    } else {
      for (let gone = this.#from; gone < oldest; gone += 1) this.#forget(gone);
    }
    this.#from = oldest;
  }

  #forget(slot: number): void {
    const cell = this.#cells.get(slot);
    if (!cell) return;
    this.requests -= cell.requests;
    this.tokens -= cell.tokens;
    this.#cells.delete(slot);
  }

  add(slot: number, requests: number, tokens: number): void {
    let cell = this.#cells.get(slot);
    if (!cell) {
      cell = { requests: 0, tokens: 0 };
      this.#cells.set(slot, cell);
    }
    cell.requests += requests;
    cell.tokens += tokens;
    this.requests += requests;
    this.tokens += tokens;
    this.lastSlot = Math.max(this.lastSlot, slot);
  }

  /** Gives back tokens of a bucket, as far as it still counts and holds so many. */
  giveBack(slot: number, tokens: number): void {
    const cell = this.#cells.get(slot);
    if (!cell) return;
    const back = Math.min(tokens, cell.tokens);
    cell.tokens -= back;
    this.tokens -= back;
  }

  /** Milliseconds from `nowMs` until so much has left. */
  wait(what: keyof Cell, amount: number, nowMs: number): number {
    const slot = Math.floor(nowMs / SLOT_MS);
    let left = 0;
    for (let leaving = slot - SLOTS; leaving <= slot; leaving += 1) {
      left += this.#cells.get(leaving)?.[what] ?? 0;
      if (left >= amount) return leaving * SLOT_MS + WINDOW_MS - nowMs;
    }
    return slot * SLOT_MS + WINDOW_MS - nowMs;
  }
}
