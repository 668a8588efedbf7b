/**
 * How many repetitions a backend may be sent: a share of the requests that it is sent anyway, so that a backend in
 * trouble gets little more than its usual load. A bucket of tokens: each first try adds the share, each repetition
 * takes one.
 */
export class RetryBudget {
  // Undefined until it is first used: the bucket starts full, and how much that is comes with the settings.
  #tokens: number | undefined;

  /**
   * Counts a request's first try.
   * @param share tokens that it adds
   * @param burst tokens that the bucket holds at most
   */
  deposit(share: number, burst: number): void {
    const tokens = this.#tokens;
    if (tokens !== undefined && tokens !== burst) this.#tokens = Math.min(burst, tokens + share);
  }

  /** Takes a repetition out of the budget; false where there is none left. */
  withdraw(burst: number): boolean {
    const tokens = this.#tokens ?? burst;
    if (tokens < 1) return false;
    this.#tokens = tokens - 1;
    return true;
  }
}
