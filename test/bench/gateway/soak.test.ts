import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import { until } from "../../services/gateway/support.ts";
import { InstrumentedGateway } from "./instrumented.ts";
import { Processes } from "./processes.ts";
import { growth, leftBehind, REACH_MODEL, sendMix, weigh } from "./soak.ts";
import { startQuickModels } from "./targets.ts";

const WARM_UP = 2_000;
const REQUESTS = 6_000;
// A kilobyte for each request would show as four times this much.
const MOST_BYTES = 256;

async function inLedger({ process: { stores } }: InstrumentedGateway): Promise<number> {
  const client = new pg.Client(stores?.databaseUrl);
  await client.connect();
  const { rows } = await client.query<{ count: number }>("select count(*)::integer as count from usage");
  await client.end();
  return rows[0]?.count ?? 0;
}

describe("what a gateway holds on to", () => {
  it("is told in percent and by request", () => {
    const before = { requests: 1_000, held: 2_000_000, resident: 50 };
    const after = { requests: 3_000, held: 2_400_000, resident: 55 };
    expect(growth(before, after, "held")).toBe(20);
    expect(growth(before, after, "resident")).toBe(10);
    expect(leftBehind(before, after)).toBe(200);
  });
});

describe("a gateway with all its steps, after thousands of requests of all kinds", () => {
  it("holds on to nothing of them, and each that reached a model is in the ledger once", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gateway-soak-"));
    const processes = new Processes();
    onTestFinished(async () => {
      await processes.close();
      await rm(folder, { recursive: true, force: true });
    });
    const ground = { processes, folder };
    const gateway = await InstrumentedGateway.start(ground, await startQuickModels(ground), "full");
    await sendMix(gateway.process.port, WARM_UP);
    const before = await weigh(gateway, 0);
    await sendMix(gateway.process.port, REQUESTS);
    const after = await weigh(gateway, REQUESTS);
    expect(leftBehind(before, after)).toBeLessThan(MOST_BYTES);
    await until(async () => (await inLedger(gateway)) === (WARM_UP + REQUESTS) * REACH_MODEL, 20_000);
  }, 120_000);
});
