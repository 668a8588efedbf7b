import { setTimeout as delay } from "node:timers/promises";

export interface Pace {
  readonly timeoutMs: number;
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Looks again and again, in growing intervals, until the condition holds; false when the time is up first. */
export async function until(condition: () => boolean | Promise<boolean>, pace: Pace): Promise<boolean> {
  const deadline = performance.now() + pace.timeoutMs;
  for (let interval = pace.firstMs; ; interval = Math.min(interval * 1.2, pace.longestMs)) {
    if (await condition()) return true;
    const left = deadline - performance.now();
    if (left <= 0) return false;
    await delay(Math.min(interval, left));
  }
}
