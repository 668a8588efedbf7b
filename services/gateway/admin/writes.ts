import { type Kysely, sql } from "kysely";
import type { Tables } from "../state/tables.ts";
import type { FreshKey } from "../tenancy/api-key.ts";
import {
  KEY_COLUMNS,
  type KeyFields,
  PROJECT_COLUMNS,
  type StoredKey,
  type StoredProject,
  type StoredTenant,
  TENANT_COLUMNS,
  type TenantFields,
} from "./stored.ts";

type Db = Kysely<Tables>;

// The number's row is locked before anything else: changes follow each other in the order of their numbers.
const CHANGE = sql`change as (update tenancy_change set value = value + 1 returning value)`;

/** Makes a tenant; undefined if there is one of this id. */
export async function createTenant(
  db: Db,
  id: string,
  fields: TenantFields,
): Promise<StoredTenant | undefined> {
  const { name, tier, region, sensitivity } = fields;
  const { rows } = await sql<StoredTenant>`
    with ${CHANGE}
    insert into tenants (id, name, tier, region, sensitivity, limits, budget, change)
    select ${id}::text, ${name}::text, ${tier}::text, ${region}::text, ${sensitivity}::text,
      ${JSON.stringify(fields.limits)}::jsonb, ${JSON.stringify(fields.budget)}::jsonb, change.value from change
    on conflict (id) do nothing returning ${TENANT_COLUMNS}`.execute(db);
  return rows[0];
}

/** Changes a tenant if it is still of the version; undefined if it is not. */
export async function updateTenant(
  db: Db,
  tenant: Pick<StoredTenant, "id" | "version">,
  { disabled, ...fields }: TenantFields & { readonly disabled: boolean },
): Promise<StoredTenant | undefined> {
  const { rows } = await sql<StoredTenant>`
    with ${CHANGE}
    update tenants set name = ${fields.name}::text, tier = ${fields.tier}::text, region = ${fields.region}::text,
      sensitivity = ${fields.sensitivity}::text, limits = ${JSON.stringify(fields.limits)}::jsonb,
      budget = ${JSON.stringify(fields.budget)}::jsonb,
      disabled_at = case when ${disabled}::boolean then coalesce(disabled_at, now()) end,
      updated_at = now(), version = version + 1, change = change.value
    from change where id = ${tenant.id} and version = ${tenant.version} returning ${TENANT_COLUMNS}`.execute(
    db,
  );
  return rows[0];
}

/** Makes a project; undefined if the tenant has one of this id. */
export async function createProject(
  db: Db,
  { tenant, id, name }: Pick<StoredProject, "tenant" | "id" | "name">,
): Promise<StoredProject | undefined> {
  const { rows } = await sql<StoredProject>`
    with ${CHANGE}
    insert into projects (tenant, id, name, change)
    select ${tenant}::text, ${id}::text, ${name}::text, change.value from change
    on conflict (tenant, id) do nothing returning ${PROJECT_COLUMNS}`.execute(db);
  return rows[0];
}

/** Changes a project if it is still of the version; undefined if it is not. */
export async function updateProject(
  db: Db,
  project: Pick<StoredProject, "tenant" | "id" | "version">,
  { name, disabled }: { readonly name: string; readonly disabled: boolean },
): Promise<StoredProject | undefined> {
  const { tenant, id, version } = project;
  const { rows } = await sql<StoredProject>`
    with ${CHANGE}
    update projects set name = ${name}::text,
      disabled_at = case when ${disabled}::boolean then coalesce(disabled_at, now()) end,
      updated_at = now(), version = version + 1, change = change.value
    from change where tenant = ${tenant} and id = ${id} and version = ${version}
    returning ${PROJECT_COLUMNS}`.execute(db);
  return rows[0];
}

export async function createKey(
  db: Db,
  fresh: FreshKey,
  { createdBy, ...fields }: KeyFields & { readonly createdBy: string },
): Promise<StoredKey | undefined> {
  const { id, sha256, hint } = fresh;
  const { rows } = await sql<StoredKey>`
    with ${CHANGE}
    insert into api_keys (id, sha256, hint, name, tenant, project, permissions, models, limits, operator, expires_at,
      created_by, change)
    select ${id}::text, ${sha256}::text, ${hint}::text, ${fields.name}::text, ${fields.tenant}::text,
      ${fields.project}::text, ${fields.permissions}::text[], ${fields.models}::text[],
      ${JSON.stringify(fields.limits)}::jsonb, ${fields.operator}::boolean, ${fields.expires_at}::timestamptz,
      ${createdBy}::text, change.value
    from change returning ${KEY_COLUMNS}`.execute(db);
  return rows[0];
}

export interface Rotation {
  readonly tenant: string;
  readonly id: string;
  /** When the old key ends at the latest. */
  readonly until: Date;
  /** When its successor ends. */
  readonly expiresAt: Date | null;
  readonly createdBy: string;
}

/** Gives a key that works and has no successor one, and lets it live on for a while; undefined where there is no such key. */
export async function rotateKey(db: Db, fresh: FreshKey, rotation: Rotation): Promise<StoredKey | undefined> {
  const { rows } = await sql<StoredKey>`
    with ${CHANGE}, old as (
      update api_keys set successor = ${fresh.id}::text, change = change.value,
        expires_at = least(expires_at, ${rotation.until}::timestamptz)
      from change
      where id = ${rotation.id} and tenant = ${rotation.tenant} and revoked_at is null and successor is null
        and (expires_at is null or expires_at > now())
      returning api_keys.*
    )
    insert into api_keys (id, sha256, hint, name, tenant, project, permissions, models, limits, operator, expires_at,
      created_by, change)
    select ${fresh.id}::text, ${fresh.sha256}::text, ${fresh.hint}::text, name, tenant, project, permissions, models,
      limits, operator, ${rotation.expiresAt}::timestamptz, ${rotation.createdBy}::text, old.change
    from old returning ${KEY_COLUMNS}`.execute(db);
  return rows[0];
}

/** Ends a key, also one that has ended: the first time counts. Undefined where there is no such key. */
export async function revokeKey(db: Db, tenant: string, id: string): Promise<StoredKey | undefined> {
  const { rows } = await sql<StoredKey>`
    with ${CHANGE}
    update api_keys set revoked_at = coalesce(revoked_at, now()), change = change.value
    from change where id = ${id} and tenant = ${tenant} returning ${KEY_COLUMNS}`.execute(db);
  return rows[0];
}
