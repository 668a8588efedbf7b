import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table gateway_file (
    id text primary key,
    tenant text not null,
    project text not null,
    key_id text not null,
    purpose text not null,
    filename text not null,
    state text not null check (state in ('writing', 'ready', 'deleted')),
    bytes bigint not null default 0,
    chunks integer not null default 0,
    content_key_id text not null,
    data_key bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    touched_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz
  )`,
  "create index gateway_file_by_tenant on gateway_file (tenant, created_at, id)",
  "create index gateway_file_by_expiry on gateway_file (expires_at) where state = 'ready'",
  "create index gateway_file_unfinished on gateway_file (touched_at) where state <> 'ready'",
  "create index gateway_file_by_content_key on gateway_file (content_key_id)",
  `create table gateway_file_chunk (
    file_id text not null,
    number integer not null,
    data bytea not null,
    primary key (file_id, number)
  )`,
  // What is encrypted cannot be compressed.
  "alter table gateway_file_chunk alter column data set storage external",
  `create table gateway_batch (
    id text primary key,
    tenant text not null,
    project text not null,
    key_id text not null,
    credential text,
    principal jsonb,
    endpoint text not null,
    input_file_id text not null,
    completion_window text not null,
    metadata jsonb,
    status text not null,
    outcome text check (outcome in ('completed', 'expired', 'cancelled', 'failed')),
    errors jsonb,
    total integer not null default 0,
    completed integer not null default 0,
    failed integer not null default 0,
    content_key_id text not null,
    data_key bytea not null,
    output_file_id text,
    error_file_id text,
    output_seconds integer,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    in_progress_at timestamptz,
    finalizing_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    expired_at timestamptz,
    cancelling_at timestamptz,
    cancelled_at timestamptz,
    finished boolean not null default false,
    swept boolean not null default false,
    owner text,
    leased_until timestamptz,
    not_before timestamptz
  )`,
  "create index gateway_batch_by_tenant on gateway_batch (tenant, created_at, id)",
  "create index gateway_batch_unfinished on gateway_batch (created_at) where not finished",
  "create index gateway_batch_unswept on gateway_batch (id) where finished and not swept",
  "create index gateway_batch_by_content_key on gateway_batch (content_key_id)",
  `create table gateway_batch_line (
    batch_id text not null,
    number integer not null,
    state text not null check (state in ('pending', 'done')),
    request bytea not null,
    response bytea,
    failed boolean,
    attempts integer not null default 0,
    owner text,
    leased_until timestamptz,
    not_before timestamptz,
    primary key (batch_id, number)
  )`,
  "create index gateway_batch_line_pending on gateway_batch_line (batch_id, number) where state = 'pending'",
  "create index gateway_batch_line_by_owner on gateway_batch_line (owner) where state = 'pending' and owner is not null",
];

/** Files, their encrypted chunks, batches and their lines. */
export const batches: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
