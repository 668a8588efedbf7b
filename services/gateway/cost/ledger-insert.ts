import { type Kysely, sql } from "kysely";
import type { Tables } from "../state/tables.ts";

/**
 * Puts lines of the journal into the ledger, and those that were not there yet into the sums: one statement, so that
 * either all of it happens or nothing, and a repetition changes nothing. Rows are taken in a fixed order, so that two
 * gateways never wait for each other.
 */
export async function insertLines(db: Kysely<Tables>, lines: readonly string[]): Promise<void> {
  await sql`
    with given as (
      select *, to_timestamp(at / 1000.0) as arrived
      from jsonb_to_recordset(${`[${lines.join(",")}]`}::jsonb) as line(
        id uuid, at bigint, request_id text, tenant text, project text, key_id text, user_id text, model text,
        backend text, release text, color text, endpoint text, status smallint, stream boolean,
        prompt_tokens integer, cached_prompt_tokens integer, completion_tokens integer, estimated boolean,
        nano_usd bigint, latency_ms integer, first_token_ms integer, probe boolean
      )
    ), inserted as (
      insert into usage (
        id, at, request_id, tenant, project, key_id, user_id, model, backend, release, color, endpoint, status,
        stream, prompt_tokens, cached_prompt_tokens, completion_tokens, estimated, nano_usd, latency_ms,
        first_token_ms, probe
      )
      select
        id, arrived, request_id, tenant, project, key_id, user_id, model, backend, release, color, endpoint, status,
        stream, prompt_tokens, cached_prompt_tokens, completion_tokens, estimated, nano_usd, latency_ms,
        first_token_ms, probe
      from given order by id
      on conflict (id) do nothing
      returning *
    ), daily as (
      insert into usage_daily as total (
        day, tenant, project, model, backend, release,
        requests, prompt_tokens, cached_prompt_tokens, completion_tokens, nano_usd
      )
      select
        (at at time zone 'UTC')::date, tenant, project, model, backend, release,
        count(*), sum(prompt_tokens), sum(cached_prompt_tokens), sum(completion_tokens), sum(nano_usd)
      from inserted
      group by 2, 1, 3, 4, 5, 6 order by 2, 1, 3, 4, 5, 6
      on conflict (tenant, day, project, model, backend, release) do update set
        requests = total.requests + excluded.requests,
        prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
        cached_prompt_tokens = total.cached_prompt_tokens + excluded.cached_prompt_tokens,
        completion_tokens = total.completion_tokens + excluded.completion_tokens,
        nano_usd = total.nano_usd + excluded.nano_usd
    )
    insert into usage_hourly as total (hour, tenant, requests, nano_usd)
    select date_trunc('hour', at, 'UTC'), tenant, count(*), sum(nano_usd)
    from inserted
    group by 2, 1 order by 2, 1
    on conflict (tenant, hour) do update set
      requests = total.requests + excluded.requests,
      nano_usd = total.nano_usd + excluded.nano_usd`.execute(db);
}
