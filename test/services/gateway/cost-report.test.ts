import { randomUUID } from "node:crypto";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { insertLines } from "../../../services/gateway/cost/ledger-insert.ts";
import { toLine } from "../../../services/gateway/cost/ledger-row.ts";
import { readCosts, reportCosts, reportQuery } from "../../../services/gateway/cost/report.ts";
import { elapsedMs, nodeCosts, reportNodes } from "../../../services/gateway/cost/self-hosted.ts";
import { costSettings } from "../../../services/gateway/cost/settings.ts";
import { Database } from "../../../services/gateway/state/database.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { usageRecord } from "./cost-support.ts";
import { until } from "./support.ts";

const DAYS = { from: "2026-05-01", to: "2026-05-02" };
const PRICES = { "own-model": { selfHosted: { nodeHourUsd: 2, nodes: 3, tokensPerSecond: 1_000 } } };
const at = (time: string) => Date.parse(time);

describe.each(POSTGRES_KINDS)("cost reports (%s)", (kind) => {
  let server: StoreProcess;
  let database: Database;
  const [acme, other] = [`acme-${randomUUID()}`, `other-${randomUUID()}`];
  const settings = costSettings.parse({
    prices: PRICES,
    taxPercent: 10,
    tenants: { [acme]: { currency: { code: "TWD", perUsd: 32 }, taxPercent: 5 } },
  });

  beforeAll(async () => {
    server = await startPostgres(kind);
    database = new Database(server.url, pino({ level: "silent" }));
    await until(
      () =>
        database.ping().then(
          () => database.isReady,
          () => false,
        ),
      60_000,
    );
    const usd = 1_000_000_000;
    const records = [
      usageRecord({ tenant: acme, project: "a", user: "ann", at: at("2026-05-01T00:00:00Z"), nanoUsd: usd }),
      usageRecord({
        tenant: acme,
        project: "b",
        user: "bob",
        at: at("2026-05-02T23:59:59Z"),
        nanoUsd: 2 * usd,
      }),
      usageRecord({ tenant: acme, project: "b", at: at("2026-05-03T00:00:00Z"), nanoUsd: 50 * usd }),
      usageRecord({ tenant: acme, project: "b", at: at("2026-04-30T23:59:59Z"), nanoUsd: 50 * usd }),
      usageRecord({ tenant: other, backend: "own-model", at: at("2026-05-01T12:00:00Z"), nanoUsd: 4 * usd }),
    ];
    await database.use((db) => insertLines(db, records.map(toLine)));
  });

  afterAll(async () => {
    await database.close();
    await server.stop();
  });

  const rows = (by: string, tenant?: string) => {
    const query = reportQuery.parse({ ...DAYS, by, ...(tenant === undefined ? {} : { tenant }) });
    return database.use((db) => readCosts(db, { ...query, tenant }));
  };

  test("costs, when they are asked for by project, then are the sums of the period's UTC days, the dearest first", async () => {
    expect(await rows("project", acme)).toMatchObject([
      { project: "b", requests: 1, promptTokens: 10, completionTokens: 5, nanoUsd: 2e9 },
      { project: "a", requests: 1, nanoUsd: 1e9 },
    ]);
    expect(await rows("day", acme)).toMatchObject([
      { day: "2026-05-02", nanoUsd: 2e9 },
      { day: "2026-05-01", nanoUsd: 1e9 },
    ]);
  });

  test("costs, when they are asked for by user, then come from the requests themselves", async () => {
    expect(await rows("day,user", acme)).toMatchObject([
      { day: "2026-05-02", user: "bob", nanoUsd: 2e9 },
      { day: "2026-05-01", user: "ann", nanoUsd: 1e9 },
    ]);
  });

  test("a tenant's report, when it is made, then it holds nothing of another tenant, in its own currency and tax", async () => {
    const query = { ...DAYS, by: ["tenant", "model", "backend", "release"] as const, tenant: acme };
    const report = await database.use((db) => reportCosts(db, query, settings));
    expect(JSON.stringify(report)).not.toContain(other);
    expect(report).toMatchObject({ currency: "TWD", perUsd: 32, taxPercent: 5 });
    expect(report.sum).toMatchObject({ requests: 2, nanoUsd: 3e9, amount: 96, tax: 4.8, total: 100.8 });
    expect(report.data).toMatchObject([{ tenant: acme, model: "chat-model", nanoUsd: 3e9 }]);
  });

  test("a report over all tenants, when it is made, then it is in the default currency", async () => {
    const query = { ...DAYS, by: ["tenant"] as const, tenant: undefined };
    const report = await database.use((db) => reportCosts(db, query, settings));
    expect(report).toMatchObject({ currency: "USD", taxPercent: 10 });
    expect(report.data.map(({ tenant }) => tenant)).toEqual([other, acme]);
    expect(report.sum).toMatchObject({ nanoUsd: 7e9, amount: 7, tax: 0.7, total: 7.7 });
  });

  test("own nodes, when they are reported, then their whole price is there, with what nobody used", async () => {
    const query = { ...DAYS, by: [] as const, tenant: undefined };
    const [nodes] = await database.use((db) => reportNodes(db, query, settings));
    const hours = elapsedMs(DAYS, Date.now()) / 3_600_000;
    expect(nodes).toMatchObject({ model: "own-model", attributedUsd: 4 });
    expect(nodes?.nodeUsd).toBeCloseTo(hours * 6, 3);
    expect(nodes?.idleUsd).toBeCloseTo(hours * 6 - 4, 3);
    expect(nodes?.tenants).toEqual([{ tenant: other, tokenShare: 1, nodeUsd: nodes?.nodeUsd }]);
  });
});

describe("node time", () => {
  const sums = { requests: 1, cachedPromptTokens: 0, completionTokens: 0, nanoUsd: 0 };
  const price = { nodeHourUsd: 10, nodes: 1, tokensPerSecond: 100, completionWeight: 4, cachedWeight: 0.1 };

  test("is split by tokens, where a generated one weighs more and a cached one less", () => {
    const rows = [
      { ...sums, tenant: "a", promptTokens: 100, cachedPromptTokens: 100 },
      { ...sums, tenant: "b", promptTokens: 10, completionTokens: 20 },
    ];
    const { tenants, nodeUsd } = nodeCosts("m", price, { elapsedMs: 3_600_000, rows });
    expect(nodeUsd).toBe(10);
    expect(tenants.map(({ tokenShare }) => tokenShare)).toEqual([0.1, 0.9]);
    expect(tenants.map((tenant) => tenant.nodeUsd)).toEqual([1, 9]);
  });

  test("of a period that runs still is that which is over", () => {
    const now = at("2026-05-01T06:00:00Z");
    expect(elapsedMs(DAYS, now) / 3_600_000).toBe(6);
    expect(elapsedMs({ from: "2026-06-01", to: "2026-06-01" }, now)).toBe(0);
  });
});

describe("the query of a report", () => {
  test("is about the last 30 days unless it says another period", () => {
    expect(reportQuery.parse({ to: "2026-03-30" })).toMatchObject({
      from: "2026-03-01",
      by: ["day", "tenant"],
    });
  });

  test.each([
    [{ from: "2026-02-30" }, "is no day"],
    [{ from: "2026-03-02", to: "2026-03-01" }, "is after"],
    [{ from: "2024-03-02", to: "2026-03-01" }, "is more than 366 days"],
    [{ by: "day,password" }, "is unknown"],
  ])("%j is refused: %s", (query, problem) => {
    expect(reportQuery.safeParse(query).error?.issues[0]?.message).toContain(problem);
  });
});
