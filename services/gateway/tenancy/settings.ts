import { z } from "zod";
import { limitsEntry } from "../limits/settings.ts";
import { plainName } from "./names.ts";
import { SENSITIVITIES, TIERS } from "./principal.ts";

const usd = z
  .union([z.number().positive(), z.null()], {
    error: "is no amount above 0; give US dollars, or null for no bound",
  })
  .transform((value) => value ?? undefined);

/** What may be spent. */
export const budgetEntry = z.strictObject({ hourlyUsd: usd.optional(), dailyUsd: usd.optional() });

/** What a tenant may be given; all of it has a default. */
export const tenantEntry = z.strictObject({
  /** @default bronze */
  tier: z.enum(TIERS, { error: 'is unknown; use "bronze", "silver" or "gold"' }).default("bronze"),
  /** Region whose residency rule holds for its data. @default no rule */
  region: z.string().min(1, "is empty; name a region, or leave it out").optional(),
  /** What its requests are taken for unless they say more. @default medium */
  sensitivity: z
    .enum(SENSITIVITIES, { error: 'is unknown; use "low", "medium" or "high"' })
    .default("medium"),
  /** Own bounds instead of its tier's. @default its tier's */
  limits: limitsEntry.prefault({}),
  /** Spending in USD. @default unbounded */
  budget: budgetEntry.prefault({}),
});

/** Tenants by id that exist without a database. A tenant that is not named here has all defaults. */
export const tenantsSettings = z
  .record(plainName, tenantEntry, { error: "is no map; give tenants by id" })
  .default({});

export type TenantEntry = z.infer<typeof tenantEntry>;
