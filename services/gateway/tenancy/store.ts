import { type Kysely, sql } from "kysely";
import type { Tables } from "../state/tables.ts";

/** A tenant as the database keeps it. */
export interface TenantRow {
  readonly id: string;
  readonly tier: string;
  readonly region: string | null;
  readonly sensitivity: string;
  readonly limits: unknown;
  readonly budget: unknown;
  readonly disabled: boolean;
}

/** A key as the database keeps it, with what decides whether it works. */
export interface KeyRow {
  readonly sha256: string;
  readonly id: string;
  readonly tenant: string;
  readonly project: string;
  readonly permissions: readonly string[];
  readonly models: readonly string[] | null;
  readonly limits: unknown;
  readonly operator: boolean;
  readonly expires_at: Date | null;
  readonly revoked: boolean;
  readonly project_disabled: boolean;
  /** Null for a tenant that only the settings know. */
  readonly tenant_row: TenantRow | null;
}

export interface Loaded<Row> {
  readonly rows: readonly Row[];
  /** The number of the last change that the rows may know of; later ones they certainly do not. */
  readonly change: number;
}

/** One thing that changed. */
export interface Change {
  readonly kind: "key" | "tenant" | "project";
  /** A key's hash; a tenant's id, also for a project. */
  readonly name: string;
}

export async function loadKeys(db: Kysely<Tables>, hashes: readonly string[]): Promise<Loaded<KeyRow>> {
  const { rows } = await sql<KeyRow & { change: string }>`
    select k.sha256, k.id, k.tenant, k.project, k.permissions, k.models, k.limits, k.operator, k.expires_at,
      k.revoked_at is not null as revoked, p.disabled_at is not null as project_disabled, c.value as change,
      case when t.id is not null then json_build_object('id', t.id, 'tier', t.tier, 'region', t.region,
        'sensitivity', t.sensitivity, 'limits', t.limits, 'budget', t.budget,
        'disabled', t.disabled_at is not null) end as tenant_row
    from tenancy_change c
    left join api_keys k on k.sha256 = any(${hashes}::text[])
    left join tenants t on t.id = k.tenant
    left join projects p on p.tenant = k.tenant and p.id = k.project`.execute(db);
  return { rows: rows.filter(({ id }) => id !== null), change: Number(rows[0]?.change) };
}

export async function loadTenants(db: Kysely<Tables>, ids: readonly string[]): Promise<Loaded<TenantRow>> {
  const { rows } = await sql<TenantRow & { change: string }>`
    select t.id, t.tier, t.region, t.sensitivity, t.limits, t.budget, t.disabled_at is not null as disabled,
      c.value as change
    from tenancy_change c left join tenants t on t.id = any(${ids}::text[])`.execute(db);
  return { rows: rows.filter(({ id }) => id !== null), change: Number(rows[0]?.change) };
}

/** What changed after that number, and the number of the last change. */
export async function changesSince(
  db: Kysely<Tables>,
  since: number,
): Promise<{ changes: readonly Change[]; last: number }> {
  const { rows } = await sql<{ kind: Change["kind"] | null; name: string; last: string }>`
    select c.value as last, changed.kind, changed.name
    from tenancy_change c left join (
      select 'key' as kind, sha256 as name from api_keys where change > ${since}
      union all select 'tenant', id from tenants where change > ${since}
      union all select 'project', tenant from projects where change > ${since}
    ) changed on true`.execute(db);
  const changes = rows.flatMap(({ kind, name }) => (kind === null ? [] : [{ kind, name }]));
  return { changes, last: Number(rows[0]?.last) };
}

/** Notes when keys were used last. */
export async function noteUses(db: Kysely<Tables>, ids: readonly string[], at: Date): Promise<void> {
  await sql`
    update api_keys set last_used_at = ${at}
    where id = any(${ids}::text[]) and (last_used_at is null or last_used_at < ${at})`.execute(db);
}
