/** When the next try of a request may begin. */
export interface Backoff {
  /** Milliseconds within which the first repetition is placed. */
  readonly baseMs: number;
  /** Milliseconds that no wait by backoff is longer than. */
  readonly maxMs: number;
}

/**
 * Milliseconds to wait before a repetition: anywhere from 0 to base × 2^(failures − 1) ("full jitter"), so that requests
 * that failed together do not come back together; but no sooner than the backend said.
 * @param failures tries that failed so far, at least 1
 * @param retryAfterMs what the backend asked for; 0 where it did not
 * @param random from 0 to 1, without 1
 */
export function backoffMs(
  { baseMs, maxMs }: Backoff,
  failures: number,
  { retryAfterMs, random }: { readonly retryAfterMs: number; readonly random: number },
): number {
  const bound = Math.min(maxMs, baseMs * 2 ** (failures - 1));
  return Math.max(retryAfterMs, random * bound);
}
