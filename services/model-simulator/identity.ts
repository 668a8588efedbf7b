import { randomUUID } from "node:crypto";

/** A prefix and 16 hexadecimal digits. */
export function newId(prefix: string): string {
  return prefix + randomUUID().replaceAll("-", "").slice(16);
}

export function secondsNow(): number {
  return Math.floor(Date.now() / 1000);
}
