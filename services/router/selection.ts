import { hash } from "node:crypto";
import type { Color, Traffic } from "./contract.ts";

const BUCKETS = 10_000;
const BUCKETS_PER_PERCENT = BUCKETS / 100;
// Fixed for good: another salt would move users between colors at the upgrade of the router.
const SALT = "llm-platform/router/1:";

/** A number in [0, 10000) that is the same for the same user in every process. */
export function bucketOf(userId: string): number {
  return Number.parseInt(hash("sha256", SALT + userId, "hex").slice(0, 12), 16) % BUCKETS;
}

/**
 * Green takes the lowest buckets and blue the rest, so that a rising weight of green only ever moves users from blue
 * to green, and a falling one only back. Returns undefined when nothing is to be served.
 */
export function colorOf(bucket: number, traffic: Traffic): Color | undefined {
  const { blue, green } = traffic.backends;
  if (green !== undefined && bucket < green.weight * BUCKETS_PER_PERCENT) return "green";
  return blue !== undefined && blue.weight > 0 ? "blue" : undefined;
}

export function chooseColor(userId: string | undefined, traffic: Traffic): Color | undefined {
  const bucket = userId === undefined ? Math.floor(Math.random() * BUCKETS) : bucketOf(userId);
  return colorOf(bucket, traffic);
}
