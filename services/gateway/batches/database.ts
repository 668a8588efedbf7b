import pg from "pg";
import { createPool } from "../state/pool.ts";

// Longer than for the ledger: a chunk of a file is large beside a row of it.
const TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 1_000;
// Its own few connections, so that files never hold up the ledger.
const MAX_CONNECTIONS = 4;

/** Whether the database can be used now; the gateway watches it in the background. */
export interface DatabaseState {
  readonly isReady: boolean;
}

/** The database is away, or its tables are not there yet. */
export class StorageAway extends Error {
  constructor() {
    super("the database is away");
  }
}

/** Files and batches in the database that all gateways share; each statement stands for itself. */
export class Storage {
  readonly #state: DatabaseState;
  readonly #pool: pg.Pool;

  constructor(url: string, state: DatabaseState) {
    this.#state = state;
    this.#pool = createPool({
      connectionString: url,
      max: MAX_CONNECTIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
    });
  }

  /** @throws {StorageAway} at once while the database is away, and within seconds when it falls silent */
  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    if (!this.#state.isReady) throw new StorageAway();
    try {
      const { rows } = await this.#pool.query<Row>(text, [...values]);
      return rows;
    } catch (error) {
      if (error instanceof pg.DatabaseError && !isGoing(error)) throw error;
      throw new StorageAway();
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** A server that shuts down, starts up or has no connection left says so itself (classes 57P and 53). */
function isGoing({ code = "" }: pg.DatabaseError): boolean {
  return code.startsWith("57P") || code.startsWith("53") || code.startsWith("08");
}
