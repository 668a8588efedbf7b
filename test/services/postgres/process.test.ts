import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { POSTGRES_ENV } from "../../../services/postgres/contract.ts";
import { runService, startService } from "../service-process.ts";
import { connect, environment, openPool, PASSWORD, startProcess, temporaryFolder } from "./support.ts";

const template = mkdtempSync(join(tmpdir(), "postgres-template-"));

/** A copy of a database that was made once: making one takes seconds. */
function preparedFolder(): string {
  const folder = temporaryFolder();
  cpSync(template, folder, { recursive: true });
  return folder;
}

beforeAll(async () => {
  const server = await startService("postgres", environment(template));
  server.kill("SIGTERM");
  await server.exited;
  return () => rmSync(template, { recursive: true, force: true });
});

/** Inserts 1, 2, 3 … until the connection breaks; gives the last number that was confirmed. */
async function insertUntilBroken(client: Client, onInsert: (n: number) => void): Promise<number> {
  for (let n = 1; ; n += 1) {
    try {
      await client.query("INSERT INTO written VALUES ($1, repeat('x', 2000))", [n]);
    } catch {
      return n - 1;
    }
    onInsert(n);
  }
}

describe("the database's process", () => {
  test("a server, when stopped and started again, then the data are there and no password is in the log", async () => {
    const env = environment(join(temporaryFolder(), "new", "folder"));
    const first = await startProcess(env);
    const client = await connect(first.port);
    await client.query("CREATE TABLE kept (embedding vector(2))");
    await client.query("INSERT INTO kept VALUES ('[1,2]')");
    await expect(connect(first.port, { password: "a-wrong-password" })).rejects.toThrow();
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    for (const secret of [PASSWORD, "a-wrong-password"]) expect(first.output()).not.toContain(secret);
    const second = await startProcess(env);
    const pool = openPool(second.port);
    expect((await pool.query("SELECT embedding::text FROM kept")).rows).toEqual([{ embedding: "[1,2]" }]);
  });

  test("a server, when killed with -9 in the middle of writes three times, then every confirmed write is there", async () => {
    const env = environment(preparedFolder());
    let confirmed = 0;
    for (let round = 0; round < 3; round += 1) {
      const server = await startProcess(env);
      const client = await connect(server.port);
      await client.query("CREATE TABLE IF NOT EXISTS written (n int, padding text)");
      const { rows } = await client.query(
        "SELECT coalesce(max(n), 0)::int AS last, count(*)::int AS rows FROM written",
      );
      // One more may be there than was confirmed: the answer to the last one was lost.
      expect([confirmed, confirmed + 1]).toContain(rows[0].rows);
      expect(rows[0].last).toBe(rows[0].rows);
      await client.query("TRUNCATE written");
      const writes = insertUntilBroken(client, (n) => {
        if (n === 200 + round * 50) server.kill("SIGKILL");
      });
      await server.exited;
      confirmed = await writes;
      expect(confirmed).toBeGreaterThanOrEqual(200);
    }
  });

  test("SIGTERM, when a transaction is open, then it is undone, others' writes stay, and the exit code is 0", async () => {
    const env = environment(preparedFolder());
    const first = await startProcess(env);
    const [open, other] = [await connect(first.port), await connect(first.port)];
    await other.query("CREATE TABLE mixed (n int)");
    await other.query("INSERT INTO mixed VALUES (1)");
    await open.query("BEGIN");
    await open.query("INSERT INTO mixed VALUES (2)");
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    const second = await startProcess(env);
    expect((await openPool(second.port).query("SELECT n FROM mixed")).rows).toEqual([{ n: 1 }]);
  });

  test("a second server, when the folder is in use, then it refuses and the first is unharmed", async () => {
    const env = environment(preparedFolder());
    const first = await startProcess(env);
    const { code, output } = await runService("postgres", env);
    expect([
      code,
      output.includes("another process uses the data folder"),
      output.includes("remedy"),
    ]).toEqual([1, true, true]);
    expect((await openPool(first.port).query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  test("a statement that breaks the database, when it runs, then the process ends and the next has the data", async () => {
    const env = environment(preparedFolder());
    const first = await startProcess(env);
    const client = await connect(first.port);
    await client.query("CREATE TABLE survivor (n int)");
    // PGlite ends when it is asked to read rows from its client.
    await expect(client.query("COPY survivor FROM STDIN")).rejects.toThrow();
    expect(await first.exited).toBe(1);
    const second = await startProcess(env);
    expect((await openPool(second.port).query("SELECT * FROM survivor")).rows).toEqual([]);
  });

  test("settings, when several are wrong, then all are named at once with code 1 and no secret", async () => {
    const { code, output } = await runService("postgres", {
      [POSTGRES_ENV.host]: "0.0.0.0",
      [POSTGRES_ENV.port]: "x",
      [POSTGRES_ENV.password]: "short-secret",
      [POSTGRES_ENV.maxConnections]: "0",
      [POSTGRES_ENV.idleTransactionSeconds]: "-1",
    });
    expect(code).toBe(1);
    const { host: _host, ...wrong } = POSTGRES_ENV;
    for (const name of Object.values(wrong)) expect(output).toContain(name);
    expect(output).not.toContain("short-secret");
  });

  test("a password, when it is missing, then only a loopback server starts", async () => {
    const { [POSTGRES_ENV.password]: _, ...env } = environment(preparedFolder());
    const open = await runService("postgres", { ...env, [POSTGRES_ENV.host]: "0.0.0.0" });
    expect([open.code, open.output.includes(`${POSTGRES_ENV.password} is not set`)]).toEqual([1, true]);
    const server = await startProcess(env);
    const client = await connect(server.port, { password: "" });
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  test("a port, when it is taken, then the server exits with code 1 and names it", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const port = String(Object(taken.address()).port);
    const { code, output } = await runService("postgres", {
      ...environment(preparedFolder()),
      [POSTGRES_ENV.port]: port,
    });
    taken.close();
    expect([code, output.includes("EADDRINUSE"), output.includes(port)]).toEqual([1, true, true]);
  });
});
