import { hashNumbers } from "./random.ts";

/** Remembers which whole blocks of prompt tokens were seen, the least recently used ones leaving first. */
export class PrefixCache {
  readonly #blocks = new Set<number>();
  readonly #capacity: number;
  readonly #blockSize: number;

  constructor(capacity: number, blockSize: number) {
    this.#capacity = capacity;
    this.#blockSize = blockSize;
  }

  /** Tokens of the prompt's start that were cached; the prompt is cached afterwards. */
  lookUp(ids: readonly number[]): number {
    let hash: number | undefined;
    let cached = 0;
    let matching = true;
    // The last token is always computed, so a prompt is never cached as a whole.
    for (let end = this.#blockSize; end <= ids.length; end += this.#blockSize) {
      hash = hashNumbers(ids.slice(end - this.#blockSize, end), hash);
      matching = this.#blocks.delete(hash) && matching;
      if (matching && end < ids.length) cached = end;
      this.#blocks.add(hash);
    }
    this.#evict();
    return cached;
  }

  #evict() {
    for (const oldest of this.#blocks) {
      if (this.#blocks.size <= this.#capacity) return;
      this.#blocks.delete(oldest);
    }
  }
}
