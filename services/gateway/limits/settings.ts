import { z } from "zod";

/** A bound that may be lifted: null stands for none. */
const bound = z
  .union([z.int().min(1), z.null()], { error: "is no whole number above 0; give one, or null for no bound" })
  .transform((value) => value ?? undefined);

/** Bounds as settings give them: what is left out comes from elsewhere, null lifts the bound. */
export const limitsEntry = z.strictObject({
  requestsPerMinute: bound.optional(),
  tokensPerMinute: bound.optional(),
  concurrency: bound.optional(),
});

function tier(requestsPerMinute: number, tokensPerMinute: number, concurrency: number) {
  return z
    .strictObject({
      requestsPerMinute: bound.default(requestsPerMinute),
      tokensPerMinute: bound.default(tokensPerMinute),
      concurrency: bound.default(concurrency),
    })
    .prefault({});
}

/** What tenants may use in a minute, and at the same time. */
export const limitsSettings = z
  .strictObject({
    /** Bounds of a tenant by its tier, unless it has own ones. Bronze: requirements C4. */
    tiers: z
      .strictObject({
        bronze: tier(60, 100_000, 16),
        silver: tier(300, 500_000, 64),
        gold: tier(1_200, 2_000_000, 256),
      })
      .prefault({}),
  })
  .prefault({});

export type LimitsSettings = z.infer<typeof limitsSettings>;
