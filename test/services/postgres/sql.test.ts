import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningPostgres, startPostgres } from "../../../services/postgres/postgres.ts";
import { configuration, connect, openPool, PASSWORD } from "./support.ts";
import { bindAndExecute, connectRaw, message, parse, startup } from "./wire.ts";

const folder = mkdtempSync(join(tmpdir(), "postgres-test-"));
let postgres: RunningPostgres;

beforeAll(async () => {
  postgres = await startPostgres(configuration(folder), (error) => {
    throw error;
  });
});
afterAll(async () => {
  await postgres.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("SQL over the wire", () => {
  test("vectors, when a table has an HNSW index, then the nearest neighbours come first", async () => {
    const pool = openPool(postgres.port);
    await pool.query("CREATE TABLE points (id int PRIMARY KEY, embedding vector(3))");
    await pool.query("CREATE INDEX ON points USING hnsw (embedding vector_cosine_ops)");
    for (let id = 1; id <= 50; id += 1) {
      await pool.query("INSERT INTO points VALUES ($1, $2)", [id, `[1,${id},0]`]);
    }
    await pool.query("ANALYZE points");
    const nearest = "SELECT id FROM points ORDER BY embedding <=> '[1,7,0]' LIMIT 3";
    expect((await pool.query(nearest)).rows[0]).toEqual({ id: 7 });
    const client = await connect(postgres.port);
    await client.query("BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off");
    const plan = JSON.stringify((await client.query(`EXPLAIN ${nearest}`)).rows);
    await client.query("COMMIT");
    expect(plan).toContain("points_embedding_idx");
  });

  test("two pools, when they insert at once, then no row is lost", async () => {
    const pools = [openPool(postgres.port), openPool(postgres.port)];
    await pools[0]?.query("CREATE TABLE counted (n int)");
    const inserts = Array.from({ length: 600 }, (_, n) =>
      pools[n % 2]?.query("INSERT INTO counted VALUES ($1)", [n]),
    );
    await Promise.all(inserts);
    const result = await pools[1]?.query("SELECT count(DISTINCT n)::int AS rows FROM counted");
    expect(result?.rows).toEqual([{ rows: 600 }]);
  });

  test("parameters that span many packets, when others query meanwhile, then each gets its own answer", async () => {
    const [large, small] = [openPool(postgres.port), openPool(postgres.port)];
    const size = 700_000;
    const queries = Array.from({ length: 200 }, async (_, i) => {
      if (i % 2 === 0) {
        const { rows } = await small.query("SELECT $1::text AS word", [`word-${i}`]);
        return expect(rows).toEqual([{ word: `word-${i}` }]);
      }
      const values = ["x".repeat(size + i), `tag-${i}`];
      const { rows } = await large.query("SELECT length($1::text) AS length, $2::text AS tag", values);
      return expect(rows).toEqual([{ length: size + i, tag: `tag-${i}` }]);
    });
    await Promise.all(queries);
  });

  test("a statement, when another client's runs between its parts, then each gets its own answer", async () => {
    const [raw, other] = [await connectRaw(postgres.port), await connect(postgres.port)];
    raw.send(parse("SELECT 'mine ' || $1::text"));
    expect((await other.query("SELECT $1::int + $2::int AS sum", [1, 2])).rows).toEqual([{ sum: 3 }]);
    raw.send(bindAndExecute("alone"));
    expect(await raw.untilReady()).toContain("mine alone");
  });

  test("an error, when others query meanwhile, then it reaches only who made it", async () => {
    const pool = openPool(postgres.port);
    const queries = Array.from({ length: 100 }, async (_, i) => {
      if (i % 2 === 0) return expect((await pool.query("SELECT $1::int AS n", [i])).rows).toEqual([{ n: i }]);
      return expect(pool.query("SELECT 1 / $1::int", [0])).rejects.toMatchObject({ code: "22012" });
    });
    await Promise.all(queries);
  });

  test("a transaction, when another client queries meanwhile, then it waits and sees only what was committed", async () => {
    const [writer, reader] = [await connect(postgres.port), await connect(postgres.port)];
    await writer.query("CREATE TABLE balance (amount int)");
    await writer.query("BEGIN");
    await writer.query("INSERT INTO balance VALUES (1)");
    const order: string[] = [];
    const read = reader.query("SELECT count(*)::int AS rows FROM balance").then(({ rows }) => {
      order.push("read");
      return rows;
    });
    await writer.query("INSERT INTO balance VALUES (2)");
    order.push("commit");
    await writer.query("COMMIT");
    expect(await read).toEqual([{ rows: 2 }]);
    expect(order).toEqual(["commit", "read"]);
  });

  test("a client, when it vanishes in a transaction, then its work is undone and others go on", async () => {
    const [client, other] = [await connect(postgres.port), await connect(postgres.port)];
    await client.query("CREATE TABLE abandoned (n int)");
    await client.query("BEGIN");
    await client.query("INSERT INTO abandoned VALUES (1)");
    await client.end();
    expect((await other.query("SELECT * FROM abandoned")).rows).toEqual([]);
  });

  test("a transaction, when its client idles too long, then it is undone, and others go on", async () => {
    const [idler, other] = [await connect(postgres.port), await connect(postgres.port)];
    await idler.query("CREATE TABLE idled (n int)");
    await idler.query("BEGIN");
    await idler.query("INSERT INTO idled VALUES (1)");
    expect((await other.query("SELECT * FROM idled")).rows).toEqual([]);
    await expect(idler.query("COMMIT")).rejects.toThrow();
  });
});

describe("connecting", () => {
  test.each([
    ["the password is wrong", { password: "another-password-of-a-length" }, "28P01"],
    ["the user is unknown", { user: "somebody" }, "28000"],
    ["the database is unknown", { database: "something" }, "3D000"],
  ])("a client, when %s, then it is refused with PostgreSQL's code", async (_why, overrides, code) => {
    await expect(connect(postgres.port, overrides)).rejects.toMatchObject({ code });
  });

  test("more clients than allowed, when they connect, then the last is refused, and let in once another leaves", async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(postgres.port)));
    await expect(connect(postgres.port)).rejects.toMatchObject({ code: "53300" });
    await clients[0]?.end();
    const late = await expect.poll(() => connect(postgres.port).catch(() => undefined)).toBeDefined();
    expect(late).not.toBeNull();
    expect((await clients[1]?.query("SELECT 1 AS one"))?.rows).toEqual([{ one: 1 }]);
  });

  test("a client, when it asks for TLS first, then it is told to go on without", async () => {
    const client = connect(postgres.port, { ssl: { rejectUnauthorized: false } });
    await expect(client).rejects.toThrow("does not support SSL");
  });

  test.each([
    ["a length of 2 GB", Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0])],
    ["a length below its own", Buffer.from([0, 0, 0, 1, 0, 3, 0, 0])],
    ["protocol version 2", Buffer.from([0, 0, 0, 8, 0, 2, 0, 0])],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
  ])("a peer, when it starts with %s, then it is told off and cut", async (_what, bytes) => {
    const socket = connectSocket(postgres.port, "127.0.0.1");
    socket.write(bytes);
    expect(await text(socket)).toContain("08P01");
  });

  test("a peer, when it sends a query in place of the password, then it is cut", async () => {
    const socket = connectSocket(postgres.port, "127.0.0.1");
    socket.write(Buffer.concat([startup(), message("Q", Buffer.from("SELECT 1\0"))]));
    const answer = await text(socket);
    expect(answer).toContain("08P01");
    expect(answer).not.toContain(PASSWORD);
  });
});
