import { Kysely, PostgresDialect, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import pg from "pg";
import type { Log } from "../log.ts";
import type { Dependency } from "./dependency.ts";
import { MIGRATIONS } from "./migrations/index.ts";
import { createPool } from "./pool.ts";
import type { Tables } from "./tables.ts";

const MIGRATION_TABLE = "gateway_migration";
const TIMEOUT_MS = 1_000;
const MAX_CONNECTIONS = 4;
const MAX_REPORTS = 2;
const REPORT_TIMEOUT_MS = 30_000;
const STATEMENT_CANCELLED = "57014";
// A migration may wait for another gateway's.
const MIGRATION_TIMEOUT_MS = 60_000;

/** The database is away, or its tables are not there yet. */
export class DatabaseAway extends Error {
  constructor() {
    super("the database is away");
  }
}

/**
 * The database (PostgreSQL protocol) that all gateways of an environment share. It brings its tables up to date by
 * itself, in the background, once it can be reached.
 */
export class Database implements Dependency {
  readonly name = "ledger";
  readonly #pool: pg.Pool;
  readonly #db: Kysely<Tables>;
  readonly #reports: Kysely<Tables>;
  readonly #url: string;
  readonly #log: Log;
  #isUp = false;
  #isMigrated = false;
  #migrating: Promise<void> | undefined;
  #isClosed = false;

  constructor(url: string, log: Log) {
    this.#url = url;
    this.#log = log;
    this.#pool = createPool({
      connectionString: url,
      max: MAX_CONNECTIONS,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
    });
    this.#db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: this.#pool }) });
    const reports = createPool({
      connectionString: url,
      max: MAX_REPORTS,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: REPORT_TIMEOUT_MS,
      statement_timeout: REPORT_TIMEOUT_MS,
    });
    this.#reports = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: reports }) });
  }

  /** Whether it answered when it was last asked and has all tables. */
  get isReady(): boolean {
    return this.#isUp && this.#isMigrated;
  }

  /**
   * Does some work with it, one statement at a time: the connection may be shared with everybody else.
   * @throws {DatabaseAway} at once while it is away, and within a second or two when it falls silent
   */
  async use<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    if (!this.isReady) throw new DatabaseAway();
    try {
      return await work(this.#db);
    } catch (error) {
      // What the server itself refuses is no sign that it is away.
      if (error instanceof pg.DatabaseError) throw error;
      this.#isUp = false;
      throw new DatabaseAway();
    }
  }

  /**
   * Reads what may take long, on connections of its own: a slow report says nothing about the database, and makes
   * nothing else wait.
   * @throws {DatabaseAway} at once while it is away, and when it takes too long
   */
  async report<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    if (!this.isReady) throw new DatabaseAway();
    try {
      return await work(this.#reports);
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code !== STATEMENT_CANCELLED) throw error;
      throw new DatabaseAway();
    }
  }

  async ping(): Promise<void> {
    try {
      await this.#pool.query("select 1");
      this.#isUp = true;
    } catch (error) {
      this.#isUp = false;
      throw error;
    }
    if (!this.#isMigrated) this.#migrating ??= this.#migrate();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#migrating;
    await Promise.all([this.#db.destroy(), this.#reports.destroy()]);
  }

  async #migrate(): Promise<void> {
    const pool = createPool({
      connectionString: this.#url,
      max: 1,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: MIGRATION_TIMEOUT_MS,
    });
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    try {
      const migrations = { ...(await migrationsOfOthers(db)), ...MIGRATIONS };
      const migrator = new Migrator({
        db,
        provider: { getMigrations: async () => migrations },
        migrationTableName: MIGRATION_TABLE,
        migrationLockTableName: `${MIGRATION_TABLE}_lock`,
        // Those of a release that is newer than this one may come before ours.
        allowUnorderedMigrations: true,
      });
      const { error } = await migrator.migrateToLatest();
      if (error) throw error;
      this.#isMigrated = true;
    } catch (error) {
      if (!this.#isClosed) this.#log.error({ event: "migration_failed", err: error }, "a migration failed");
    } finally {
      await db.destroy();
      this.#migrating = undefined;
    }
  }
}

/** What newer releases have done: nothing to do for this one, which their migrations do not disturb. */
async function migrationsOfOthers(db: Kysely<Tables>): Promise<Record<string, Migration>> {
  const table = await sql<{ found: string | null }>`select to_regclass(${MIGRATION_TABLE}) as found`.execute(
    db,
  );
  if (!table.rows[0]?.found) return {};
  const done = await sql<{ name: string }>`select name from ${sql.table(MIGRATION_TABLE)}`.execute(db);
  return Object.fromEntries(done.rows.map(({ name }) => [name, { up: async () => undefined }]));
}
