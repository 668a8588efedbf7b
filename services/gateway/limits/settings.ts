import { z } from "zod";

/** A bound that may be lifted: null stands for none. */
const bound = z
  .union([z.int().min(1), z.null()], { error: "is no whole number above 0; give one, or null for no bound" })
  .transform((value) => value ?? undefined);

function whole(min: number, max: number) {
  const error = `is no whole number from ${min} to ${max}; give one`;
  return z.int({ error }).min(min, error).max(max, error);
}

/** Bounds as settings give them: what is left out comes from elsewhere, null lifts the bound. */
export const limitsEntry = z.strictObject({
  requestsPerMinute: bound.optional(),
  tokensPerMinute: bound.optional(),
  concurrency: bound.optional(),
});

function tier(requestsPerMinute: number, tokensPerMinute: number, concurrency: number) {
  return z
    .strictObject({
      requestsPerMinute: bound.prefault(requestsPerMinute),
      tokensPerMinute: bound.prefault(tokensPerMinute),
      concurrency: bound.prefault(concurrency),
    })
    .prefault({});
}

/** What tenants may use in a minute, and at the same time. */
export const limitsSettings = z
  .strictObject({
    /** Bounds of a tenant by its tier, unless it has own ones. */
    tiers: z
      .strictObject({
        bronze: tier(60, 100_000, 16),
        silver: tier(300, 500_000, 64),
        gold: tier(1_200, 2_000_000, 256),
      })
      .prefault({}),
    /**
     * Gateways that serve at the same time, of both colors. While the key-value store is away each of them lets
     * through its share of every limit. @default 2
     */
    gateways: whole(1, 1_000).default(2),
    /** Milliseconds that a request waits for the key-value store before it goes by the local share. @default 150 */
    storeTimeoutMilliseconds: whole(10, 1_000).default(150),
    /** Seconds after which the requests of a gateway that was killed do not count as under way. @default 30 */
    leaseSeconds: whole(1, 600).default(30),
    /**
     * Tokens of an answer that are reserved where the request names no maximum. What was not used is given back.
     * @default 1000
     */
    outputTokens: whole(1, 1_000_000).default(1_000),
  })
  .prefault({});

export type LimitsSettings = z.infer<typeof limitsSettings>;
