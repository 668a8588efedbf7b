import { probit } from "simple-statistics";
import type { Histogram } from "../contract/head.ts";

/** A share as it was seen, and between what it lies for sure enough. */
export interface Share {
  estimate: number;
  lower: number;
  upper: number;
}

/**
 * Wilson's score interval, each side on its own: the share lies above `lower` with the given confidence, and below
 * `upper` with the same. It holds for few events, where the usual normal interval does not.
 * @param part how many of `whole`; need not be whole itself (a sum of scores)
 */
export function wilson(part: number, whole: number, confidence: number): Share {
  if (whole === 0) return { estimate: Number.NaN, lower: 0, upper: 1 };
  const z = probit(confidence);
  const estimate = part / whole;
  const scale = 1 + (z * z) / whole;
  const centre = (estimate + (z * z) / (2 * whole)) / scale;
  const reach = (z / scale) * Math.sqrt((estimate * (1 - estimate)) / whole + (z * z) / (4 * whole * whole));
  return { estimate, lower: Math.max(0, centre - reach), upper: Math.min(1, centre + reach) };
}

export const totalOf = ({ counts }: Histogram): number => counts.at(-1) ?? 0;

/** How many observations were at most `limit`, and at least: a bound between two buckets is not known exactly. */
function countUpTo(histogram: Histogram, limit: number): number {
  const index = histogram.bounds.findLastIndex((bound) => bound <= limit);
  return index < 0 ? 0 : (histogram.counts[index] ?? 0);
}

/** The share of observations above a limit. A limit between two bounds counts the whole bucket as above. */
export function shareAbove(histogram: Histogram, limit: number, confidence: number): Share {
  const total = totalOf(histogram);
  return wilson(total - countUpTo(histogram, limit), total, confidence);
}

/** A quantile, straight within a bucket, as Prometheus computes it; undefined without observations. */
export function quantile(histogram: Histogram, q: number): number | undefined {
  const total = totalOf(histogram);
  if (total === 0) return undefined;
  const rank = q * total;
  const index = histogram.counts.findIndex((count) => count >= rank);
  const upper = histogram.bounds[index];
  if (upper === undefined || upper === Number.POSITIVE_INFINITY)
    return histogram.bounds.findLast(Number.isFinite);
  const lower = histogram.bounds[index - 1] ?? 0;
  const before = histogram.counts[index - 1] ?? 0;
  const inside = (histogram.counts[index] ?? 0) - before;
  return inside === 0 ? upper : lower + (upper - lower) * ((rank - before) / inside);
}

/** Whether a quantile lies above the last finite bound: `quantile` then tells that bound, as nothing else is known. */
export const isBeyondBounds = (histogram: Histogram, q: number): boolean =>
  countUpTo(histogram, Number.MAX_VALUE) < q * totalOf(histogram);
