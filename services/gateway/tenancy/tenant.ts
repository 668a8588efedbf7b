import { z } from "zod";
import { limitsEntry } from "../limits/settings.ts";
import type { Settings } from "../settings.ts";
import type { Limits, Tenant } from "./principal.ts";
import { budgetEntry, type TenantEntry, tenantEntry } from "./settings.ts";
import type { TenantRow } from "./store.ts";

const DEFAULTS = tenantEntry.parse({});

// A newer release may have written more than this one knows.
const storedLimits = z.object(limitsEntry.shape).prefault({});
const storedTenant = z.object({
  ...tenantEntry.shape,
  limits: storedLimits,
  budget: z.object(budgetEntry.shape).prefault({}),
});

/** What the settings say of a tenant. A name such as "constructor" is one that clients can come up with. */
export function entryOf({ tenants }: Settings, id: string): TenantEntry | undefined {
  return Object.hasOwn(tenants, id) ? tenants[id] : undefined;
}

/** A tenant with the bounds of its tier where it has no own ones. */
export function toTenant(id: string, entry: TenantEntry = DEFAULTS, { limits }: Settings): Tenant {
  const { tier, region, sensitivity, budget } = entry;
  const own = (name: keyof TenantEntry["limits"]) =>
    Object.hasOwn(entry.limits, name) ? entry.limits[name] : limits.tiers[tier][name];
  return {
    id,
    tier,
    region,
    sensitivity,
    limits: {
      requestsPerMinute: own("requestsPerMinute"),
      tokensPerMinute: own("tokensPerMinute"),
      concurrency: own("concurrency"),
    },
    budget: { hourlyUsd: budget.hourlyUsd, dailyUsd: budget.dailyUsd },
  };
}

/** The tenant that a row stands for; undefined for one that is disabled or that this release cannot make sense of. */
export function tenantOfRow(row: TenantRow, settings: Settings): Tenant | undefined {
  if (row.disabled) return undefined;
  const { id, tier, region, sensitivity, limits, budget } = row;
  const entry = storedTenant.safeParse({ tier, region: region ?? undefined, sensitivity, limits, budget });
  return entry.success ? toTenant(id, entry.data, settings) : undefined;
}

/** A key's own bounds as they are kept; undefined for what this release cannot make sense of. */
export function limitsOfRow(limits: unknown): Limits | undefined {
  const stored = storedLimits.safeParse(limits);
  if (!stored.success) return undefined;
  const { requestsPerMinute, tokensPerMinute, concurrency } = stored.data;
  return { requestsPerMinute, tokensPerMinute, concurrency };
}
