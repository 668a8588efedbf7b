const REMEMBERED = 32;
const MAX_SECONDS = 60;
// What was seen longer ago says nothing about now.
const STALE_MS = 30_000;

/** How fast places become free, by the last ones that did. Nothing is allocated for what is counted. */
export class DrainRate {
  readonly #times = new Float64Array(REMEMBERED);
  #count = 0;

  /** @param now milliseconds on any steady clock */
  record(now: number): void {
    this.#times[this.#count % REMEMBERED] = now;
    this.#count += 1;
  }

  /** Begins anew if what was seen last is old. */
  forget(now: number): void {
    if (now - (this.#times[(this.#count - 1) % REMEMBERED] ?? 0) > STALE_MS) this.#count = 0;
  }

  /**
   * Seconds until so many places will have become free, whole and from 1 to 60.
   * @param unknown what to tell as long as too little was seen
   */
  secondsUntil(places: number, now: number, unknown: number): number {
    const seen = Math.min(this.#count, REMEMBERED);
    if (seen < 2) return bounded(unknown);
    const oldest = this.#times[(this.#count - seen) % REMEMBERED] ?? now;
    // Up to now, not to the last one: when nothing moves any more, the rate sinks.
    return bounded(((now - oldest) / 1000 / (seen - 1)) * places);
  }
}

const bounded = (seconds: number): number => Math.min(MAX_SECONDS, Math.max(1, Math.ceil(seconds)));
