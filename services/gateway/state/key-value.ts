import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import type { Dependency } from "./dependency.ts";

const TIMEOUT_MS = 1_000;
const MAX_RECONNECT_MS = 5_000;

/** The key-value store (Redis protocol) that all gateways of an environment share. */
export interface KeyValue extends Dependency {
  /**
   * Sets the key for so many seconds; false if it is set already. Rejects, within a second or two, when the store does
   * not answer; the key may be set then.
   */
  setOnce(key: string, seconds: number): Promise<boolean>;
  /** Sets the key for so many seconds, also if it is set already. */
  mark(key: string, seconds: number): Promise<void>;
  unmark(key: string): Promise<void>;
  /** Whether one of the keys is set. */
  isAnyMarked(keys: readonly string[]): Promise<boolean>;
}

/** Connects to it; a store that is away at first is waited for in the background. */
export function connectKeyValue(url: string): KeyValue {
  const redis = new Redis(url, {
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
    // A command fails at once while the store is away, instead of waiting for it.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(100 * 2 ** attempt, MAX_RECONNECT_MS),
  });
  // The watch reports the state; an unheard error event would end the process.
  redis.on("error", () => undefined);
  // The first ping comes before the first connection stands: without waiting it would tell a healthy store as down.
  const firstAttempt = new Promise<void>((resolve) => {
    redis.once("ready", resolve).once("close", resolve);
  });
  return {
    name: "key-value",
    async ping() {
      await Promise.race([firstAttempt, setTimeout(TIMEOUT_MS, undefined, { ref: false })]);
      await redis.ping();
    },
    async setOnce(key, seconds) {
      return (await redis.set(key, "1", "EX", seconds, "NX")) === "OK";
    },
    async mark(key, seconds) {
      await redis.set(key, "1", "EX", seconds);
    },
    async unmark(key) {
      await redis.del(key);
    },
    async isAnyMarked(keys) {
      return (await redis.exists(...keys)) > 0;
    },
    async close() {
      redis.disconnect();
    },
  };
}
