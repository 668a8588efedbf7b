import { sql } from "kysely";

/** A tenant's settings as they are kept; what is left out of limits and budget is its tier's, null lifts a bound. */
export interface TenantFields {
  readonly name: string;
  readonly tier: string;
  readonly region: string | null;
  readonly sensitivity: string;
  readonly limits: Readonly<Record<string, number | null>>;
  readonly budget: Readonly<Record<string, number | null>>;
}

export interface StoredTenant extends TenantFields {
  readonly id: string;
  readonly disabled_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly version: number;
}

export interface StoredProject {
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
  readonly disabled_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly version: number;
}

/** What a key is made with. */
export interface KeyFields {
  readonly name: string;
  readonly tenant: string;
  readonly project: string;
  readonly permissions: readonly string[];
  readonly models: readonly string[] | null;
  readonly limits: Readonly<Record<string, number | null>>;
  readonly operator: boolean;
  readonly expires_at: Date | null;
}

export interface StoredKey extends KeyFields {
  readonly id: string;
  readonly hint: string;
  readonly sha256: string;
  readonly revoked_at: Date | null;
  readonly successor: string | null;
  readonly last_used_at: Date | null;
  readonly created_at: Date;
  readonly created_by: string;
}

/** What is read of them. */
export const TENANT_COLUMNS = sql`id, name, tier, region, sensitivity, limits, budget, disabled_at, created_at, updated_at, version`;
export const PROJECT_COLUMNS = sql`tenant, id, name, disabled_at, created_at, updated_at, version`;
export const KEY_COLUMNS = sql`id, hint, sha256, name, tenant, project, permissions, models, limits, operator, expires_at,
  revoked_at, successor, last_used_at, created_at, created_by`;
