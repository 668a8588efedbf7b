import type { Settings } from "../settings.ts";
import type { Principal } from "./principal.ts";
import type { KeyRow, TenantRow } from "./store.ts";
import { entryOf, limitsOfRow, tenantOfRow, toTenant } from "./tenant.ts";
import type { VerifiedToken } from "./tokens.ts";

const UNBOUNDED = { requestsPerMinute: undefined, tokensPerMinute: undefined, concurrency: undefined };

/** Whom a key stands for; undefined for one that is worth nothing. */
export function principalOfRow(row: KeyRow, settings: Settings): Principal | undefined {
  const limits = limitsOfRow(row.limits);
  const tenant = tenantOf(row.tenant, row.tenant_row ?? undefined, settings);
  if (row.revoked || row.project_disabled || !limits || !tenant) return undefined;
  return {
    keyId: row.id,
    tenant,
    project: row.project,
    limits,
    permissions: row.permissions,
    models: row.models ?? undefined,
    expiresAt: row.expires_at?.getTime(),
    operator: row.operator,
    probe: false,
  };
}

/** Whom a token stands for; undefined where its tenant does not exist or is disabled. */
export function principalOfToken(
  token: VerifiedToken,
  row: TenantRow | undefined,
  settings: Settings,
): Principal | undefined {
  const tenant = tenantOf(token.tenant, row, settings);
  if (!tenant) return undefined;
  const { keyId, project, permissions, models, user, expiresAt } = token;
  const granted = { limits: UNBOUNDED, permissions, models, operator: false, probe: false };
  return { keyId, tenant, project, user, expiresAt, ...granted };
}

function tenantOf(id: string, row: TenantRow | undefined, settings: Settings) {
  const entry = entryOf(settings, id);
  if (entry) return toTenant(id, entry, settings);
  return row && tenantOfRow(row, settings);
}
