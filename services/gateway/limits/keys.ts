import type { Principal, Tenant } from "../tenancy/principal.ts";
import { tenantTombstone, tombstone } from "../tenancy/tombstones.ts";

/**
 * Names of what the key-value store holds for a tenant. All of them carry the tenant in braces, so that a cluster keeps
 * them on one node and one script may touch them all. Ids are encoded: none can reach into another's names.
 */
export interface TenantNames {
  /** Hash: requests and tokens of the last minute. */
  readonly window: string;
  /** Sorted set: requests under way, by the time when they count as lost. */
  readonly open: string;
  /** Hash: what is spent and reserved of the budgets. */
  readonly budget: string;
  /** Hash: the last settlement of each gateway, so that none counts twice. */
  readonly settled: string;
  /** Exists while the disabled tenant may still be in some gateway's cache. */
  readonly disabled: string;
}

export interface KeyNames {
  readonly window: string;
  readonly open: string;
  /** Exists while a revoked key may still be in some gateway's cache. */
  readonly revoked: string;
}

const ofTenants = new WeakMap<Tenant, TenantNames>();
const ofKeys = new WeakMap<Principal, KeyNames>();

function tag(tenant: string): string {
  return `{${encodeURIComponent(tenant)}}`;
}

export function tenantNames(tenant: Tenant): TenantNames {
  let names = ofTenants.get(tenant);
  if (!names) {
    const prefix = `${tag(tenant.id)}:limits`;
    names = {
      window: `${prefix}:window`,
      open: `${prefix}:open`,
      budget: `${prefix}:budget`,
      settled: `${prefix}:settled`,
      disabled: tenantTombstone(tenant.id),
    };
    ofTenants.set(tenant, names);
  }
  return names;
}

export function keyNames(principal: Principal): KeyNames {
  let names = ofKeys.get(principal);
  if (!names) {
    const key = encodeURIComponent(principal.keyId);
    const prefix = `${tag(principal.tenant.id)}:limits`;
    names = {
      window: `${prefix}:window:${key}`,
      open: `${prefix}:open:${key}`,
      revoked: tombstone(principal.tenant.id, principal.keyId),
    };
    ofKeys.set(principal, names);
  }
  return names;
}
