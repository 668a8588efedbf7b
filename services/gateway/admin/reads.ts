import { type Kysely, sql } from "kysely";
import type { Tables } from "../state/tables.ts";
import {
  KEY_COLUMNS,
  PROJECT_COLUMNS,
  type StoredKey,
  type StoredProject,
  type StoredTenant,
  TENANT_COLUMNS,
} from "./stored.ts";

type Db = Kysely<Tables>;

/** Part of a list, by the id after which it begins. */
export interface Page {
  readonly after: string;
  readonly limit: number;
}

export async function tenantById(db: Db, id: string): Promise<StoredTenant | undefined> {
  const { rows } = await sql<StoredTenant>`select ${TENANT_COLUMNS} from tenants where id = ${id}`.execute(
    db,
  );
  return rows[0];
}

export async function listTenants(db: Db, { after, limit }: Page): Promise<readonly StoredTenant[]> {
  const { rows } = await sql<StoredTenant>`
    select ${TENANT_COLUMNS} from tenants where id > ${after} order by id limit ${limit}`.execute(db);
  return rows;
}

export async function projectById(db: Db, tenant: string, id: string): Promise<StoredProject | undefined> {
  const { rows } = await sql<StoredProject>`
    select ${PROJECT_COLUMNS} from projects where tenant = ${tenant} and id = ${id}`.execute(db);
  return rows[0];
}

export async function listProjects(db: Db, tenant: string, page: Page): Promise<readonly StoredProject[]> {
  const { rows } = await sql<StoredProject>`
    select ${PROJECT_COLUMNS} from projects where tenant = ${tenant} and id > ${page.after}
    order by id limit ${page.limit}`.execute(db);
  return rows;
}

export async function keyById(db: Db, tenant: string, id: string): Promise<StoredKey | undefined> {
  const { rows } = await sql<StoredKey>`
    select ${KEY_COLUMNS} from api_keys where tenant = ${tenant} and id = ${id}`.execute(db);
  return rows[0];
}

export async function listKeys(db: Db, tenant: string, page: Page): Promise<readonly StoredKey[]> {
  const { rows } = await sql<StoredKey>`
    select ${KEY_COLUMNS} from api_keys where tenant = ${tenant} and id > ${page.after}
    order by id limit ${page.limit}`.execute(db);
  return rows;
}
