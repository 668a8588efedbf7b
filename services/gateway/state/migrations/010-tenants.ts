import { type Kysely, sql } from "kysely";

/** Tenants, projects and API keys, and the number by which gateways learn of their changes. */
export async function up(db: Kysely<never>): Promise<void> {
  // One row, whose lock puts changes in an order: who sees number 7 has been able to see 6.
  await sql`
    create table tenancy_change (
      singleton boolean primary key default true check (singleton),
      value bigint not null default 0
    )`.execute(db);
  await sql`insert into tenancy_change default values`.execute(db);
  await sql`
    create table tenants (
      id text primary key,
      name text not null default '',
      tier text not null default 'bronze',
      region text,
      sensitivity text not null default 'medium',
      limits jsonb not null default '{}',
      budget jsonb not null default '{}',
      disabled_at timestamptz,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      version integer not null default 1,
      change bigint not null
    )`.execute(db);
  await sql`create index tenants_change on tenants (change)`.execute(db);
  await sql`
    create table projects (
      tenant text not null,
      id text not null,
      name text not null default '',
      disabled_at timestamptz,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      version integer not null default 1,
      change bigint not null,
      primary key (tenant, id)
    )`.execute(db);
  await sql`create index projects_change on projects (change)`.execute(db);
  await sql`
    create table api_keys (
      id text primary key,
      sha256 text not null unique,
      hint text not null,
      name text not null default '',
      tenant text not null,
      project text not null,
      permissions text[] not null,
      models text[],
      limits jsonb not null default '{}',
      operator boolean not null default false,
      expires_at timestamptz,
      revoked_at timestamptz,
      successor text,
      last_used_at timestamptz,
      created_at timestamptz not null default now(),
      created_by text not null,
      change bigint not null
    )`.execute(db);
  await sql`create index api_keys_change on api_keys (change)`.execute(db);
  await sql`create index api_keys_tenant on api_keys (tenant, id)`.execute(db);
}
