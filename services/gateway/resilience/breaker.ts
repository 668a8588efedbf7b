/** When a breaker opens, and for how long. */
export interface BreakerRule {
  /** Failures in a row that open it. */
  readonly failures: number;
  readonly openMs: number;
}

/** The values of the metric gateway_circuit_state. */
export const CIRCUIT = { closed: 0, halfOpen: 1, open: 2 } as const;
export type CircuitState = (typeof CIRCUIT)[keyof typeof CIRCUIT];

/**
 * Keeps requests from a backend that fails. Closed, it counts failures in a row; open, it lets nothing through; after a
 * while, half-open, one request at a time may find out whether the backend is back.
 *
 * A stream is found to have begun long before it is found whole. Its beginning closes a half-open breaker, so that others
 * need not wait for its end, but only an answer that is whole clears the count: the next failure opens it again.
 */
export class Breaker {
  #failures = 0;
  /** On the clock of performance.now(); undefined while closed. */
  #openUntil: number | undefined;
  #probing = false;

  /** Whether a request may be sent now. Whoever sends one calls `enter`. */
  allows(now: number): boolean {
    return this.#openUntil === undefined || (now >= this.#openUntil && !this.#probing);
  }

  state(now: number): CircuitState {
    if (this.#openUntil === undefined) return CIRCUIT.closed;
    return now < this.#openUntil ? CIRCUIT.open : CIRCUIT.halfOpen;
  }

  /** Milliseconds until a request may be sent; 0 where one may be sent now or after the one that is finding out. */
  waitMs(now: number): number {
    return this.#openUntil === undefined ? 0 : Math.max(0, this.#openUntil - now);
  }

  /** A request is sent. Exactly one of `succeeded`, `failed` and `left` follows. @returns whether it is the probe */
  enter(): boolean {
    if (this.#openUntil === undefined) return false;
    this.#probing = true;
    return true;
  }

  /** The answer has begun. */
  began(rule: BreakerRule): void {
    if (this.#openUntil === undefined) return;
    this.#close();
    this.#failures = rule.failures - 1;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#close();
  }

  /** @param probe what `enter` returned */
  failed(rule: BreakerRule, now: number, probe: boolean): void {
    this.#failures += 1;
    if (probe) this.#probing = false;
    // A request from before it opened says nothing about whether the backend is back.
    if (this.#openUntil !== undefined && !probe) return;
    if (probe || this.#failures >= rule.failures) this.#openUntil = now + rule.openMs;
  }

  /** It ended without saying anything about the backend. */
  left(probe: boolean): void {
    if (probe) this.#probing = false;
  }

  /** The backend has told elsewhere that it is back: the next request finds out. */
  halfOpen(now: number): void {
    if (this.#openUntil !== undefined) this.#openUntil = Math.min(this.#openUntil, now);
  }

  #close(): void {
    this.#openUntil = undefined;
    this.#probing = false;
  }
}
