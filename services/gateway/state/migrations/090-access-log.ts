import { type Kysely, sql } from "kysely";

/** Every access in one place: what the audit log keeps, and each inference that the ledger settled. */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create view access_log as
    select id, at, tenant, project, key_id, action, target, endpoint, status, request_id, release, count
    from audit_log
    union all
    select id::text, at, tenant, project, key_id,
      case endpoint when '/v1/chat/completions' then 'create:chat' when '/v1/completions' then 'create:completions'
        when '/v1/embeddings' then 'create:embeddings' end,
      model, endpoint, status::integer, request_id, release, 1
    from usage`.execute(db);
}
