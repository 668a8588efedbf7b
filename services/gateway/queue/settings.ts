import { z } from "zod";

const MEBIBYTE = 1_048_576;

function whole(min: number, max: number) {
  const error = `is no whole number from ${min} to ${max}; give one, or leave it out for the default`;
  return z.number({ error }).int(error).min(min, error).max(max, error);
}

function share(fallback: number) {
  const error = `is no number above 0 up to 1; give one, or leave it out for ${fallback}`;
  return z.number({ error }).gt(0, error).max(1, error).default(fallback);
}

/** How requests wait when all replicas of their model are busy. Each gateway counts what it sends itself. */
export const queueSettings = z
  .strictObject({
    /** Requests that this gateway has with one replica of a model that names no bound. @default none: nothing waits */
    perReplica: whole(1, 100_000).optional(),
    /** Requests that may wait, of all models together. @default 1000 */
    length: whole(0, 1_000_000).default(1_000),
    /** Bytes that the bodies of those may have together. @default 67108864 (64 MiB) */
    maxBytes: whole(0, 1_024 * 1_024 * MEBIBYTE).default(64 * MEBIBYTE),
    /** Bytes of bodies that may be on their way in at the same time, before they wait. @default 268435456 (256 MiB) */
    maxArrivingBytes: whole(1_024, 1_024 * 1_024 * MEBIBYTE).default(256 * MEBIBYTE),
    /** Seconds that a request waits at most; its deadline counts them, too. @default 10 */
    maxWaitSeconds: z
      .number({ error: "is no number of seconds above 0; give one, or leave it out for 10" })
      .gt(0, "is no number of seconds above 0; give one, or leave it out for 10")
      .max(3_600, "is longer than an hour; give at most 3600")
      .default(10),
    /** Share of length and maxBytes that one tenant may take. @default 0.5 */
    tenantShare: share(0.5),
    /** Share that a tier may take together with all tiers below it, so that there is always room for those above. */
    tierShares: z
      .strictObject({
        /** @default 1 */
        gold: share(1),
        /** @default 0.75 */
        silver: share(0.75),
        /** @default 0.5 */
        bronze: share(0.5),
        /** Requests of batches, which come back by themselves. @default 0.1 */
        batch: share(0.1),
      })
      .prefault({}),
    /**
     * Of so many places that become free, one goes to the client's request that has waited longest, whatever its
     * tier: no tier waits forever for those above. @default 10
     */
    oldestEvery: whole(1, 1_000_000).default(10),
  })
  .prefault({});

export type QueueSettings = z.infer<typeof queueSettings>;
