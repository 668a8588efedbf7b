import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { BACKLOG, journalLines, LedgerReader, temporaryFolder } from "./cost-support.ts";
import { type GatewayProcess, startGatewayProcess } from "./process.ts";
import {
  chatBody,
  EMBEDDER,
  type FakeReplica,
  MODEL,
  metric,
  post,
  startReplica,
  USAGE,
  until,
} from "./support.ts";
import { startRelay } from "./tenancy-relay.ts";

const PRICE = { promptUsd: 1, completionUsd: 4 };
const NANO = USAGE.prompt_tokens * 1_000 + USAGE.completion_tokens * 4_000;
const UNBOUNDED = { limits: { requestsPerMinute: null, tokensPerMinute: null, concurrency: null } };
// Rows that were settled right before a SIGKILL may not be in the journal's file yet.
const WRITTEN_MS = 1_000;

describe.each(POSTGRES_KINDS)("a gateway's process and the ledger (%s)", (kind) => {
  let database: StoreProcess;
  let reader: LedgerReader;
  let replica: FakeReplica;
  const processes: GatewayProcess[] = [];
  const folders: ReturnType<typeof temporaryFolder>[] = [];

  beforeAll(async () => {
    [database, replica] = await Promise.all([startPostgres(kind), startReplica()]);
    reader = new LedgerReader(database.url);
  });

  afterEach(async () => {
    database.resume();
    for (const { signal, exited } of processes.splice(0)) {
      signal("SIGKILL");
      await exited;
    }
    for (const folder of folders.splice(0)) folder.remove();
  });

  afterAll(async () => {
    await Promise.all([database.stop(), replica.close()]);
  });

  function newFolder(): string {
    const folder = temporaryFolder();
    folders.push(folder);
    return folder.path;
  }

  async function start(
    journal: string | undefined,
    cost: object = {},
    databaseUrl = database.url,
  ): Promise<GatewayProcess> {
    const gateway = await startGatewayProcess({
      replicas: [replica.url],
      settings: {
        tenants: { acme: UNBOUNDED },
        cost: { prices: { [MODEL]: PRICE, [EMBEDDER]: PRICE }, ...cost },
      },
      env: {
        GATEWAY_DATABASE_URL: databaseUrl,
        GATEWAY_DRAIN_SECONDS: "5",
        ...(journal === undefined ? {} : { GATEWAY_JOURNAL_DIR: journal }),
      },
    });
    processes.push(gateway);
    await ready(gateway);
    return gateway;
  }

  const ready = ({ url }: GatewayProcess) =>
    until(async () => {
      const { dependencies } = (await (await fetch(`${url}/ready`)).json()) as {
        dependencies: { name: string; status: string }[];
      };
      return dependencies.some(({ name, status }) => name === "ledger" && status === "up");
    }, 30_000);

  /** Asks once, streamed or not; the id if the answer came whole, and when. */
  async function ask(url: string, id: string, index: number) {
    const response = await post(url, {
      body: chatBody({ stream: index % 2 === 0 }),
      headers: { "x-request-id": id },
    });
    const text = await response.text();
    return { id, at: Date.now(), status: response.status, whole: response.ok && text.length > 0 };
  }

  async function askMany(url: string, prefix: string, count: number) {
    const answers = [];
    for (let index = 0; index < count; index += 10) {
      const some = Array.from({ length: 10 }, (_, n) =>
        ask(url, `${prefix}-${String(index + n).padStart(5, "0")}`, index + n),
      );
      answers.push(...(await Promise.all(some)));
    }
    return answers;
  }

  async function sums(prefix: string) {
    const rows = await reader.rows(prefix);
    return { rows: rows.length, ids: new Set(rows.map(({ request_id }) => request_id)).size };
  }

  /** The sums hold exactly what the rows hold. */
  async function expectSumsToMatch(): Promise<void> {
    const [rows] = await reader.query<{ requests: string; nano: string }>(
      "select count(*) as requests, sum(nano_usd) as nano from usage where tenant = 'acme'",
    );
    const totals = await reader.totals("acme");
    expect(totals).toEqual({
      requests: Number(rows?.requests),
      nano: Number(rows?.nano),
      hourly: Number(rows?.nano),
    });
  }

  test("SIGKILL, when rows are in the journal and not in the database, then after a restart each is there once", async () => {
    const journal = newFolder();
    const gateway = await start(journal);
    const prefix = randomUUID();
    database.pause();
    const answers = await askMany(gateway.url, prefix, 200);
    expect(answers.every(({ whole }) => whole)).toBe(true);
    await until(() => journalLines(journal).length >= 200);
    gateway.signal("SIGKILL");
    await gateway.exited;
    database.resume();
    await start(journal);
    const rows = await reader.rowsOnce(prefix, 200, 40_000);
    expect(rows.map(({ request_id }) => request_id)).toEqual(answers.map(({ id }) => id));
    expect(new Set(rows.map(({ nano_usd }) => nano_usd))).toEqual(new Set([String(NANO)]));
    await expectSumsToMatch();
    await until(() => journalLines(journal).length === 0);
  });

  test("the database, when its connections break under a statement, then the gateway goes on and loses no row", async () => {
    const relay = await startRelay(database.url);
    const gateway = await start(newFolder(), {}, relay.url);
    const prefix = randomUUID();
    for (let round = 0; round < 3; round += 1) {
      relay.breakAt("insert into usage (");
      const answers = await askMany(gateway.url, `${prefix}-${round}`, 10);
      expect(answers.every(({ whole }) => whole)).toBe(true);
      await until(async () => (await metric(gateway.url, BACKLOG, {})) === 0, 40_000);
    }
    expect(relay.broken).toBe(3);
    expect(await sums(prefix)).toEqual({ rows: 30, ids: 30 });
    await relay.close();
  });

  test("SIGKILL, when it comes in the middle of the load, then no row is twice and none of an answered request is missing", async () => {
    const journal = newFolder();
    const gateway = await start(journal);
    const prefix = randomUUID();
    const answered: { id: string; at: number }[] = [];
    let killedAt = 0;
    const client = async (name: number) => {
      for (let index = 0; killedAt === 0; index += 1) {
        const answer = await ask(gateway.url, `${prefix}-${name}-${index}`, index).catch(() => undefined);
        if (answer?.whole) answered.push(answer);
      }
    };
    const clients = Array.from({ length: 4 }, (_, name) => client(name));
    await until(() => answered.length > 300, 30_000);
    // So that there are some whose rows have had the time to be written.
    const enough = Date.now() + 2 * WRITTEN_MS;
    await until(() => Date.now() > enough);
    killedAt = Date.now();
    gateway.signal("SIGKILL");
    await Promise.all([...clients, gateway.exited]);
    const must = answered.filter(({ at }) => at < killedAt - WRITTEN_MS).map(({ id }) => id);
    expect(must.length).toBeGreaterThan(0);
    await start(journal);
    await until(() => journalLines(journal).length === 0, 30_000);
    const rows = new Set((await reader.rows(prefix)).map(({ request_id }) => request_id));
    expect(must.filter((id) => !rows.has(id))).toEqual([]);
    const { rows: count, ids } = await sums(prefix);
    expect(count).toBe(ids);
    await expectSumsToMatch();
  });

  test("the database, when it accepts and never answers, then requests go on; afterwards each is there once", async () => {
    const gateway = await start(newFolder());
    const prefix = randomUUID();
    const before = await askMany(gateway.url, prefix, 50);
    database.pause();
    const slowest = await askMany(gateway.url, `${prefix}-b`, 300);
    expect([...before, ...slowest].every(({ whole }) => whole)).toBe(true);
    expect(await metric(gateway.url, BACKLOG, {})).toBeGreaterThanOrEqual(300);
    database.resume();
    await reader.rowsOnce(prefix, 350, 40_000);
    await until(async () => (await metric(gateway.url, BACKLOG, {})) === 0);
    expect(await sums(prefix)).toEqual({ rows: 350, ids: 350 });
    await expectSumsToMatch();
  });

  test("the journal, when it is full, then new requests get 503 and a time; what was answered is not lost", async () => {
    const gateway = await start(undefined, { journal: { maxMemoryBytes: 65_536 } });
    const prefix = randomUUID();
    database.pause();
    const answers = await askMany(gateway.url, prefix, 400);
    const refused = answers.filter(({ status }) => status === 503);
    const accepted = answers.filter(({ whole }) => whole);
    expect(refused.length).toBeGreaterThan(0);
    expect(accepted.length + refused.length).toBe(400);
    const again = await post(gateway.url);
    expect(again.headers.get("retry-after")).toBe("5");
    expect(await again.json()).toMatchObject({ error: { code: "unavailable" } });
    database.resume();
    const rows = await reader.rowsOnce(prefix, accepted.length, 40_000);
    expect(rows.map(({ request_id }) => request_id)).toEqual(accepted.map(({ id }) => id));
    await until(async () => (await post(gateway.url)).status === 200);
    await expectSumsToMatch();
  });

  test("SIGTERM, when rows wait, then they are in the database or in the journal when the process is gone", async () => {
    const journal = newFolder();
    const gateway = await start(journal);
    const prefix = randomUUID();
    await askMany(gateway.url, prefix, 100);
    gateway.signal("SIGTERM");
    expect(await gateway.exited).toBe(0);
    expect(await sums(prefix)).toEqual({ rows: 100, ids: 100 });
    expect(journalLines(journal)).toEqual([]);
  });

  test("two gateways on one folder, when one is killed, then the other one writes what it left", async () => {
    const journal = newFolder();
    const [one, two] = [await start(journal), await start(journal)];
    const prefix = randomUUID();
    database.pause();
    await askMany(one.url, `${prefix}-1`, 50);
    await askMany(two.url, `${prefix}-2`, 50);
    await until(() => journalLines(journal).length === 100);
    one.signal("SIGKILL");
    await one.exited;
    database.resume();
    await reader.rowsOnce(prefix, 100, 40_000);
    expect(await sums(prefix)).toEqual({ rows: 100, ids: 100 });
    await expectSumsToMatch();
  });
});
