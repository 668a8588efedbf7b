import { sql } from "kysely";
import type { Database } from "../state/database.ts";

/** What a tenant has spent in the running UTC hour and day, in billionths of a US dollar, as the ledger has it. */
export interface Spent {
  readonly hourNanoUsd: number;
  readonly dayNanoUsd: number;
}

/** Asks the ledger. @throws when the database is away */
export async function spentBy(database: Database, tenant: string): Promise<Spent> {
  const { rows } = await database.use((db) =>
    sql<{ hour: string | null; day: string | null }>`
      select
        sum(nano_usd) filter (where hour = date_trunc('hour', now(), 'UTC'))::text as hour,
        sum(nano_usd)::text as day
      from usage_hourly
      where tenant = ${tenant} and hour >= date_trunc('day', now(), 'UTC')`.execute(db),
  );
  const [row] = rows;
  return { hourNanoUsd: Number(row?.hour ?? 0), dayNanoUsd: Number(row?.day ?? 0) };
}
