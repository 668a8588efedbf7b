import { sql } from "kysely";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Database, DatabaseAway } from "../../../services/gateway/state/database.ts";
import { createPool } from "../../../services/gateway/state/pool.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { until } from "./support.ts";
import { startRelay } from "./tenancy-relay.ts";

const log = pino({ level: "silent" });

describe.each(POSTGRES_KINDS)("the gateway's database (%s)", (kind) => {
  let server: StoreProcess;
  const opened: Database[] = [];

  beforeAll(async () => {
    server = await startPostgres(kind);
  });

  afterEach(async () => {
    server.resume();
    await Promise.all(opened.splice(0).map((database) => database.close()));
  });

  afterAll(() => server.stop());

  function open(): Database {
    const database = new Database(server.url, log);
    opened.push(database);
    return database;
  }

  async function ready(database: Database): Promise<Database> {
    await until(
      () =>
        // While another one migrates, the stand-in makes everybody wait.
        database.ping().then(
          () => database.isReady,
          () => false,
        ),
      30_000,
    );
    return database;
  }

  test("a connection at rest, when it breaks, then the pool drops it and nobody else hears of it", async () => {
    const relay = await startRelay(server.url);
    const pool = createPool({
      connectionString: relay.url,
      max: 1,
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
    });
    await pool.query("select 1");
    expect(pool.idleCount).toBe(1);
    // An error that nobody listens for is uncaught, which fails the whole run.
    await relay.close();
    await until(() => pool.totalCount === 0);
    await pool.end();
  });

  test("several gateways, when they start at once, then all get ready and each migration has run once", async () => {
    const [database] = await Promise.all([ready(open()), ready(open()), ready(open())]);
    const { rows } = await database.use((db) =>
      sql<{ name: string }>`select name from gateway_migration order by name`.execute(db),
    );
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  });

  test("a release that is older than the last migration, when it starts, then it gets ready as well", async () => {
    const newer = await ready(open());
    await newer.use((db) =>
      sql`insert into gateway_migration values ('0000-of-a-newer-release', ${new Date().toISOString()})
          on conflict do nothing`.execute(db),
    );
    await newer.use((db) =>
      sql`insert into gateway_migration values ('9999-of-a-newer-release', ${new Date().toISOString()})
          on conflict do nothing`.execute(db),
    );
    const older = await ready(open());
    expect(older.isReady).toBe(true);
  });

  test("work, when the database accepts and never answers, then it fails soon, later work at once, until a ping works", async () => {
    const database = await ready(open());
    const ask = () => database.use((db) => sql`select 1`.execute(db));
    server.pause();
    await expect(ask()).rejects.toThrow(DatabaseAway);
    expect(database.isReady).toBe(false);
    const started = performance.now();
    for (let n = 0; n < 1_000; n += 1) await expect(ask()).rejects.toThrow(DatabaseAway);
    // A thousand time limits would be a thousand seconds.
    expect(performance.now() - started).toBeLessThan(10_000);
    server.resume();
    await until(() =>
      database.ping().then(
        () => true,
        () => false,
      ),
    );
    await expect(ask()).resolves.toBeDefined();
  });

  test("a statement that the server refuses, when it was the work, then the database still counts as there", async () => {
    const database = await ready(open());
    await expect(database.use((db) => sql`select no_such_column`.execute(db))).rejects.toThrow(
      "no_such_column",
    );
    expect(database.isReady).toBe(true);
  });
});
