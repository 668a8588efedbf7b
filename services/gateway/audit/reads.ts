import { type Kysely, sql } from "kysely";
import type { Tables } from "../state/tables.ts";

/** One row of what happened. */
export interface StoredAccess {
  readonly id: string;
  readonly at: Date;
  readonly tenant: string | null;
  readonly project: string | null;
  readonly key_id: string | null;
  readonly action: string | null;
  readonly target: string | null;
  readonly endpoint: string;
  readonly status: number;
  readonly request_id: string;
  readonly release: string;
  readonly count: number;
}

/** What is looked for; what is left out is not looked at. */
export interface AccessFilter {
  readonly tenant?: string | undefined;
  readonly key?: string | undefined;
  readonly action?: string | undefined;
  readonly status?: number | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** The last entry of the page before. */
  readonly before?: { readonly at: Date; readonly id: string } | undefined;
  readonly limit: number;
}

// What the tenant did, and what operators did to it. Strangers' attempts at it fail, and are none of its business.
function ofTenant(tenant: string) {
  const isAbout = sql`(target = ${tenant} or starts_with(target, ${`${tenant}/`}))`;
  return sql`(tenant = ${tenant}
    or (status < 400 and action ~ ':(tenants|projects|keys)$' and ${isAbout}))`;
}

/** Accesses from the newest to the oldest, inferences too. */
export async function readAccesses(
  db: Kysely<Tables>,
  filter: AccessFilter,
): Promise<readonly StoredAccess[]> {
  const { tenant, key, action, status, from, to, before } = filter;
  const conditions = [
    tenant === undefined ? [] : [ofTenant(tenant)],
    key === undefined ? [] : [sql`key_id = ${key}`],
    action === undefined ? [] : [sql`action = ${action}`],
    status === undefined ? [] : [sql`status = ${status}`],
    from === undefined ? [] : [sql`at >= ${from}::timestamptz`],
    to === undefined ? [] : [sql`at < ${to}::timestamptz`],
    before === undefined ? [] : [sql`(at, id) < (${before.at}::timestamptz, ${before.id}::text)`],
  ].flat();
  const where = conditions.length === 0 ? sql`` : sql`where ${sql.join(conditions, sql` and `)}`;
  const { rows } = await sql<StoredAccess>`
    select id, at, tenant, project, key_id, action, target, endpoint, status, request_id, release, count
    from access_log ${where} order by at desc, id desc limit ${filter.limit}`.execute(db);
  return rows;
}
