import { Redis } from "ioredis";
import type { Dependency } from "./dependency.ts";

const TIMEOUT_MS = 1_000;
const MAX_RECONNECT_MS = 5_000;

/** The key-value store (Redis protocol) that all gateways of an environment share. */
export function connectKeyValue(url: string): Dependency {
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
  return {
    name: "key-value",
    async ping() {
      await redis.ping();
    },
    async close() {
      redis.disconnect();
    },
  };
}
