import { type Kysely, sql } from "kysely";
import type { Tables } from "../state/tables.ts";

// A statement that is over within the time that a statement may take.
const MAX_ROWS = 2_000;
// Budgets look back one day.
const KEEP_HOURLY_DAYS = 7;

/** Deletes some of what is older than it may be; whether more is left. Several gateways may do so at once. */
export async function deleteOld(db: Kysely<Tables>, keepDays: number): Promise<boolean> {
  await sql`delete from usage_hourly where hour < now() - make_interval(days => ${KEEP_HOURLY_DAYS}::int)`.execute(
    db,
  );
  const { numAffectedRows } = await sql`
    delete from usage where id in (
      select id from usage where at < now() - make_interval(days => ${keepDays}::int)
      limit ${MAX_ROWS} for update skip locked
    )`.execute(db);
  return numAffectedRows === BigInt(MAX_ROWS);
}
