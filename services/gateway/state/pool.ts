import pg from "pg";

export interface PoolOptions {
  readonly connectionString: string;
  readonly max: number;
  readonly connectionTimeoutMillis: number;
  /** Milliseconds after which a statement is given up here. */
  readonly query_timeout: number;
  /** Milliseconds after which the server ends a statement. @default undefined: it goes on */
  readonly statement_timeout?: number;
}

/** Connections to PostgreSQL of which none that breaks ends the process, at rest or in use. */
export function createPool(options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({ ...options, allowExitOnIdle: true });
  // Whoever uses a connection hears of it by its statement, and the watch over the database reports the state; an
  // unheard error event would end the process. The pool itself listens only to connections at rest.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => void client.on("error", () => undefined));
  return pool;
}
