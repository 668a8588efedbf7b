import type { Settings } from "../settings.ts";
import type { Tenant } from "./principal.ts";
import { type TenantEntry, tenantEntry } from "./settings.ts";

const DEFAULTS = tenantEntry.parse({});

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
