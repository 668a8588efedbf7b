import { type Kysely, sql } from "kysely";

/** Who did what, and who was refused. Inferences are in the ledger, one row each. */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table audit_log (
      id text primary key,
      at timestamptz not null,
      tenant text,
      project text,
      key_id text,
      action text,
      target text,
      endpoint text not null,
      status integer not null,
      request_id text not null,
      release text not null,
      count integer not null default 1
    )`.execute(db);
  await sql`create index audit_log_at on audit_log (at desc, id desc)`.execute(db);
  await sql`create index audit_log_tenant on audit_log (tenant, at desc, id desc)`.execute(db);
}
