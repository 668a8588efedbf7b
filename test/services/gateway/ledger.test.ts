import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Ledger } from "../../../services/gateway/cost/ledger.ts";
import { toLine } from "../../../services/gateway/cost/ledger-row.ts";
import { spentBy } from "../../../services/gateway/cost/spent.ts";
import type { UsageRecord } from "../../../services/gateway/cost/usage-record.ts";
import { Database } from "../../../services/gateway/state/database.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { journalLines, LedgerReader, temporaryFolder, usageRecord } from "./cost-support.ts";
import { until } from "./support.ts";

const KEEP_DAYS = 3_000;
const BOUNDS = { maxBytes: 1_048_576, maxMemoryBytes: 65_536 };

describe.each(POSTGRES_KINDS)("the ledger (%s)", (kind) => {
  let server: StoreProcess;
  let reader: LedgerReader;
  let folder: ReturnType<typeof temporaryFolder>;
  const closing: (() => Promise<void>)[] = [];
  const databases: Database[] = [];
  const said: Record<string, unknown>[] = [];

  beforeAll(async () => {
    server = await startPostgres(kind);
    reader = new LedgerReader(server.url);
  });

  afterEach(async () => {
    server.resume();
    databases.length = 0;
    for (const close of closing.splice(0).reverse()) await close();
    folder?.remove();
    said.length = 0;
  });

  afterAll(() => server.stop());

  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line)) });

  /** @param path undefined for a journal in memory */
  async function open(path: string | undefined, { away = false } = {}): Promise<Ledger> {
    const database = new Database(away ? "postgresql://u@127.0.0.1:1/d" : server.url, log);
    const ping = setInterval(() => void database.ping().catch(() => undefined), 50);
    databases.push(database);
    const ledger = new Ledger({ database, log, folder: path, keepDays: () => KEEP_DAYS });
    closing.push(async () => {
      clearInterval(ping);
      await ledger.close();
      await database.close();
    });
    if (!away) await until(() => database.isReady, 30_000);
    return ledger;
  }

  function newFolder(): string {
    folder = temporaryFolder();
    return folder.path;
  }

  /** Records of a tenant that no other test has. */
  function records(count: number, values: Partial<UsageRecord> = {}): UsageRecord[] {
    const tenant = values.tenant ?? `t-${randomUUID()}`;
    return Array.from({ length: count }, (_, index) =>
      usageRecord({ tenant, requestId: `${tenant}-${String(index).padStart(6, "0")}`, ...values }),
    );
  }

  const tenantOf = (list: readonly UsageRecord[]) => list[0]?.tenant ?? "";
  const settled = (ledger: Ledger) => until(() => ledger.backlog === 0, 30_000);

  test("records, when they are added, then each is a row and the sums of its day and hour hold it", async () => {
    const ledger = await open(newFolder());
    const list = records(1_234);
    for (const record of list) ledger.add(record);
    await settled(ledger);
    const sum = { requests: 1_234, nano: 1_234 * 30_000, hourly: 1_234 * 30_000 };
    expect(await reader.totals(tenantOf(list))).toEqual(sum);
    expect(await reader.rows(tenantOf(list))).toHaveLength(1_234);
    expect(journalLines(folder.path)).toEqual([]);
  });

  test("a record, when it is added again and again, then it is there once, and so in the sums", async () => {
    const ledger = await open(newFolder());
    const list = records(40);
    for (let round = 0; round < 3; round += 1) {
      for (const record of [...list, ...list]) ledger.add(record);
      await settled(ledger);
    }
    expect(await reader.totals(tenantOf(list))).toEqual({
      requests: 40,
      nano: 40 * 30_000,
      hourly: 40 * 30_000,
    });
  });

  test("a day's sums, when requests come around midnight, then go by the day in UTC", async () => {
    const ledger = await open(newFolder());
    const tenant = `t-${randomUUID()}`;
    for (const at of ["2026-03-01T23:59:59.999Z", "2026-03-02T00:00:00.000Z"]) {
      ledger.add(usageRecord({ tenant, at: Date.parse(at) }));
    }
    await settled(ledger);
    const days = await reader.query<{ day: string }>(
      "select day::text from usage_daily where tenant = $1 order by day",
      [tenant],
    );
    expect(days).toEqual([{ day: "2026-03-01" }, { day: "2026-03-02" }]);
  });

  test("what a tenant has spent, when it is asked for, then it is this hour's and this day's, and nobody else's", async () => {
    const ledger = await open(newFolder());
    const tenant = `t-${randomUUID()}`;
    // Not what lies beyond an hour's or a day's end while the test runs.
    const now = Date.now();
    const hourAgo = now - 3_600_000;
    ledger.add(usageRecord({ tenant, at: now, nanoUsd: 1_000 }));
    ledger.add(usageRecord({ tenant, at: hourAgo, nanoUsd: 20_000 }));
    ledger.add(usageRecord({ tenant, at: now - 25 * 3_600_000, nanoUsd: 300_000 }));
    ledger.add(usageRecord({ tenant: `${tenant}-other`, at: now, nanoUsd: 7 }));
    await settled(ledger);
    const sameDay = new Date(hourAgo).getUTCDate() === new Date(now).getUTCDate();
    const spent = await spentBy(databases[0] as Database, tenant);
    if (new Date().getUTCHours() !== new Date(now).getUTCHours()) return;
    expect(spent).toEqual({ hourNanoUsd: 1_000, dayNanoUsd: sameDay ? 21_000 : 1_000 });
  });

  test("a request, when it is older than it may be kept, then it is deleted, and its day's sum stays", async () => {
    const tenant = `t-${randomUUID()}`;
    const writer = await open(newFolder());
    writer.add(usageRecord({ tenant, at: Date.now() - (KEEP_DAYS + 1) * 86_400_000 }));
    writer.add(usageRecord({ tenant, at: Date.now() - (KEEP_DAYS - 1) * 86_400_000 }));
    await settled(writer);
    const count = async () => (await reader.query("select 1 from usage where tenant = $1", [tenant])).length;
    // It looks once when it begins.
    await open(undefined);
    await until(async () => (await count()) === 1, 20_000);
    expect(await reader.totals(tenant)).toMatchObject({ requests: 2 });
  });

  test("the database, when it accepts and never answers, then rows wait on disk; when it goes on, each is there once", async () => {
    const ledger = await open(newFolder());
    const list = records(3_000);
    for (const record of list.slice(0, 1_000)) ledger.add(record);
    server.pause();
    for (const record of list.slice(1_000)) ledger.add(record);
    await until(() => journalLines(folder.path).length >= 2_000);
    expect(ledger.backlog).toBeGreaterThanOrEqual(2_000);
    server.resume();
    await settled(ledger);
    expect(await reader.totals(tenantOf(list))).toMatchObject({ requests: 3_000, nano: 3_000 * 30_000 });
    expect(journalLines(folder.path)).toEqual([]);
  });

  test("more rows than memory holds, when the database is away, then go through the disk whole", async () => {
    const path = newFolder();
    const list = records(20_000);
    const away = await open(path, { away: true });
    for (const record of list) away.add(record);
    await until(() => journalLines(path).length === list.length, 20_000);
    // What is on disk weighs nothing in memory.
    expect(away.isFull({ ...BOUNDS, maxBytes: 2 ** 40 })).toBe(false);
    await closing.pop()?.();
    const ledger = await open(path);
    await until(async () => (await reader.totals(tenantOf(list))).requests === list.length, 40_000);
    expect(await reader.rows(tenantOf(list))).toHaveLength(list.length);
    expect(ledger.backlog).toBe(0);
    expect(readdirSync(path).filter((name) => name.endsWith(".jsonl"))).toEqual([]);
  });

  test("the journal, when it holds what it may, then it is full, yet loses nothing that was already on its way", async () => {
    const ledger = await open(newFolder(), { away: true });
    const list = records(100);
    expect(ledger.isFull(BOUNDS)).toBe(false);
    for (const record of list) ledger.add(record);
    const small = { maxBytes: 1_000, maxMemoryBytes: 2 ** 30 };
    expect(ledger.isFull(small)).toBe(true);
    for (const record of records(100, { tenant: tenantOf(list) })) ledger.add(record);
    await until(() => journalLines(folder.path).length === 200);
  });

  test("a journal in memory, when the database is away for a time, then nothing is lost; when it ends, that is said", async () => {
    const ledger = await open(undefined);
    server.pause();
    const list = records(300);
    for (const record of list) ledger.add(record);
    expect(ledger.isFull({ maxBytes: 2 ** 30, maxMemoryBytes: 65_536 })).toBe(true);
    server.resume();
    await settled(ledger);
    expect(await reader.totals(tenantOf(list))).toMatchObject({ requests: 300 });
    const away = await open(undefined, { away: true });
    away.add(usageRecord());
    await closing.pop()?.();
    expect(said).toContainEqual(expect.objectContaining({ event: "ledger_lost", rows: 1 }));
  });

  test("a line that is torn, corrupt or foreign, when it is found, then the others are replayed and it is set aside", async () => {
    const path = newFolder();
    const list = records(5);
    const lines = list.map(toLine);
    lines.splice(2, 0, "{ not json", '{"id":"no row"}');
    const file = join(path, `${randomUUID()}.00000001.jsonl`);
    writeFileSync(file, `${lines.join("\n")}\n`);
    appendFileSync(file, toLine(usageRecord({ tenant: tenantOf(list) })).slice(0, 100));
    await open(path);
    await until(async () => (await reader.totals(tenantOf(list))).requests === 5, 20_000);
    await until(() => !existsSync(file));
    expect(readFileSync(join(path, "set-aside.jsonl"), "utf8")).toBe('{ not json\n{"id":"no row"}\n');
    expect(said).toContainEqual(expect.objectContaining({ event: "ledger_set_aside", rows: 2, kept: true }));
    expect(said).toContainEqual(expect.objectContaining({ event: "journal_replayed", rows: 5, torn: true }));
  });

  test("a row that the database refuses, when it is among others, then they are written and it is set aside", async () => {
    const path = newFolder();
    const ledger = await open(path);
    const list = records(50);
    // A year that PostgreSQL has no time for.
    const impossible = usageRecord({ tenant: tenantOf(list), at: 1e18 });
    for (const record of [...list.slice(0, 20), impossible, ...list.slice(20)]) ledger.add(record);
    await settled(ledger);
    expect(await reader.totals(tenantOf(list))).toMatchObject({ requests: 50 });
    expect(readFileSync(join(path, "set-aside.jsonl"), "utf8")).toContain(impossible.id);
  });

  test("text that no database stores, when a client sends it, then the row is written without it", async () => {
    const ledger = await open(newFolder());
    const [record] = records(1, { user: "a\0b\ud800c" });
    if (record) ledger.add(record);
    await settled(ledger);
    const rows = await reader.query<{ user_id: string }>("select user_id from usage where tenant = $1", [
      record?.tenant,
    ]);
    expect(rows).toEqual([{ user_id: "ab\ufffdc" }]);
  });

  test("two gateways on one folder, when both write and one ends, then the other leaves alive journals alone and takes the dead one", async () => {
    const path = newFolder();
    const one = await open(path, { away: true });
    const list = records(10);
    for (const record of list) one.add(record);
    await until(() => journalLines(path).length === 10);
    const two = await open(path);
    const more = records(10, { tenant: tenantOf(list) });
    for (const record of more) two.add(record);
    await settled(two);
    // It has looked for leftovers by now, and the living one's are none.
    expect(await reader.totals(tenantOf(list))).toMatchObject({ requests: 10 });
    expect(journalLines(path)).toHaveLength(10);
    await closing.shift()?.();
    await until(async () => (await reader.totals(tenantOf(list))).requests === 20, 20_000);
    await until(() => journalLines(path).length === 0);
  });
});
