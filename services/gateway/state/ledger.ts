import pg from "pg";
import type { Dependency } from "./dependency.ts";

const TIMEOUT_MS = 1_000;
const MAX_CONNECTIONS = 4;

/** The ledger (PostgreSQL protocol) that all gateways of an environment share. */
export function connectLedger(url: string): Dependency {
  const pool = new pg.Pool({
    connectionString: url,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    allowExitOnIdle: true,
  });
  // The watch reports the state; an unheard error event would end the process.
  pool.on("error", () => undefined);
  return {
    name: "ledger",
    async ping() {
      await pool.query("select 1");
    },
    async close() {
      await pool.end();
    },
  };
}
