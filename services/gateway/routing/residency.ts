import type { Tenant } from "../tenancy/principal.ts";

/** Regions by the region of a tenant: where its data may go. */
export type ResidencySettings = Readonly<Record<string, readonly string[]>>;

const sets = new WeakMap<ResidencySettings, Map<string, ReadonlySet<string>>>();

/**
 * The regions whose backends may see this tenant's data; undefined where no rule holds. A region without an entry in the
 * settings allows itself alone.
 */
export function allowedRegions(
  { region }: Tenant,
  residency: ResidencySettings,
): ReadonlySet<string> | undefined {
  if (region === undefined) return undefined;
  let known = sets.get(residency);
  if (!known) {
    known = new Map();
    sets.set(residency, known);
  }
  let allowed = known.get(region);
  if (!allowed) {
    allowed = new Set(Object.hasOwn(residency, region) ? residency[region] : [region]);
    known.set(region, allowed);
  }
  return allowed;
}

/** Whether a backend may see the data: one whose region nobody named may not, where a rule holds. */
export function isAllowed(region: string | undefined, allowed: ReadonlySet<string> | undefined): boolean {
  return allowed === undefined || (region !== undefined && allowed.has(region));
}
