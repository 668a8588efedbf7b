import type { TenantEntry } from "../tenancy/settings.ts";
import type { StoredKey, StoredProject, StoredTenant } from "./stored.ts";

/** What clients see of a tenant. */
export function showTenant(tenant: StoredTenant) {
  const { id, name, tier, region, sensitivity, limits, budget, version } = tenant;
  return {
    object: "tenant",
    ...{ id, name, tier, region, sensitivity, limits, budget },
    disabled: tenant.disabled_at !== null,
    createdAt: tenant.created_at.toISOString(),
    updatedAt: tenant.updated_at.toISOString(),
    version,
    source: "database",
  };
}

/** What clients see of a tenant that the settings file names. */
export function showStaticTenant(id: string, { tier, region, sensitivity, limits, budget }: TenantEntry) {
  const lifted = (bounds: object) =>
    Object.fromEntries(Object.entries(bounds).map(([name, bound]) => [name, bound ?? null]));
  return {
    object: "tenant",
    ...{ id, name: "", tier, region: region ?? null, sensitivity },
    limits: lifted(limits),
    budget: lifted(budget),
    disabled: false,
    createdAt: null,
    updatedAt: null,
    version: 0,
    source: "settings",
  };
}

export function showProject(project: StoredProject) {
  const { id, tenant, name, version } = project;
  return {
    object: "project",
    ...{ id, tenant, name, version },
    disabled: project.disabled_at !== null,
    createdAt: project.created_at.toISOString(),
    updatedAt: project.updated_at.toISOString(),
  };
}

/** What clients see of a key: neither the key nor its hash. */
export function showKey(key: StoredKey) {
  const { id, name, hint, tenant, project, permissions, models, limits, operator, successor } = key;
  return {
    object: "key",
    ...{ id, name, hint, tenant, project, permissions, models, limits, operator, successor },
    status: statusOf(key),
    createdAt: key.created_at.toISOString(),
    createdBy: key.created_by,
    expiresAt: key.expires_at?.toISOString() ?? null,
    revokedAt: key.revoked_at?.toISOString() ?? null,
    lastUsedAt: key.last_used_at?.toISOString() ?? null,
  };
}

function statusOf({ revoked_at, expires_at }: StoredKey): "active" | "expired" | "revoked" {
  if (revoked_at) return "revoked";
  return expires_at && expires_at.getTime() <= Date.now() ? "expired" : "active";
}

/** Part of a list: one entry more than the page holds was asked for, to know whether there is a next one. */
export function showPage<T, S extends { id: string }>(
  rows: readonly T[],
  limit: number,
  show: (row: T) => S,
) {
  const data = rows.slice(0, limit).map(show);
  return { object: "list", data, next: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
}
