import type { Exchange } from "./exchange.ts";

/**
 * The exchanges that are under way. A Set would serve as well, were it not for the garbage collector: one that grows
 * and shrinks all the time leaves tables behind that keep alive what was in them, up to a fifth of all CPU time.
 */
export class ExchangeList implements Iterable<Exchange> {
  readonly #list: Exchange[] = [];

  get size(): number {
    return this.#list.length;
  }

  add(exchange: Exchange): void {
    exchange.listedAt = this.#list.push(exchange) - 1;
  }

  delete(exchange: Exchange): void {
    if (this.#list[exchange.listedAt] !== exchange) return;
    const last = this.#list.pop();
    if (!last || last === exchange) return;
    this.#list[exchange.listedAt] = last;
    last.listedAt = exchange.listedAt;
  }

  /** Goes over a copy: whoever is told to end may leave at once. */
  [Symbol.iterator](): Iterator<Exchange> {
    return [...this.#list].values();
  }
}
