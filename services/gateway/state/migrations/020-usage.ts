import { type Kysely, sql } from "kysely";

/**
 * The ledger: every settled request once, and sums that stay when old requests are deleted. Users are in the requests
 * alone, so that deleting those deletes what is known of a person.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
      create table usage (
        id uuid primary key,
        at timestamptz not null,
        request_id text not null,
        tenant text not null,
        project text not null,
        key_id text not null,
        user_id text,
        model text not null,
        backend text not null,
        release text not null,
        color text not null,
        endpoint text not null,
        status smallint not null,
        stream boolean not null,
        prompt_tokens integer not null,
        cached_prompt_tokens integer not null,
        completion_tokens integer not null,
        estimated boolean not null,
        nano_usd bigint not null,
        latency_ms integer not null,
        first_token_ms integer,
        probe boolean not null
      )`.execute(db);
  await sql`create index usage_tenant_at on usage (tenant, at)`.execute(db);
  // Rows come in the order of time, so that a few pages tell what is too old.
  await sql`create index usage_at on usage using brin (at)`.execute(db);
  await sql`
      create table usage_daily (
        day date not null,
        tenant text not null,
        project text not null,
        model text not null,
        backend text not null,
        release text not null,
        requests bigint not null,
        prompt_tokens bigint not null,
        cached_prompt_tokens bigint not null,
        completion_tokens bigint not null,
        nano_usd numeric not null,
        primary key (tenant, day, project, model, backend, release)
      )`.execute(db);
  await sql`create index usage_daily_day on usage_daily (day)`.execute(db);
  await sql`
      create table usage_hourly (
        hour timestamptz not null,
        tenant text not null,
        requests bigint not null,
        nano_usd numeric not null,
        primary key (tenant, hour)
      )`.execute(db);
}
