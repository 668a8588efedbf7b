import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createKey } from "../../../services/gateway/tenancy/api-key.ts";
import { POSTGRES_KINDS } from "../stores.ts";
import { until } from "./support.ts";
import { startRelay } from "./tenancy-relay.ts";
import { World } from "./tenancy-world.ts";

/** By which a statement that looks keys up is told from others. */
const LOOKUP = "from tenancy_change c\n    left join api_keys";
const postgres = POSTGRES_KINDS[0] ?? "embedded";

describe("a flood of wrong keys", () => {
  let world: World;
  let relay: Awaited<ReturnType<typeof startRelay>>;

  beforeEach(async () => {
    world = await World.start({ postgres });
    relay = await startRelay(world.postgres.url);
    await world.addGateway({ env: { GATEWAY_DATABASE_URL: relay.url } });
    await world.makeTenant("acme");
  });
  afterEach(async () => {
    await relay.close();
    await world.close();
  });

  const guesses = (count: number, make: () => string) => Array.from({ length: count }, make);

  /** How many of the statements that reached the database look keys up. */
  async function lookupsOf(secrets: readonly string[]): Promise<number> {
    const before = relay.seen(LOOKUP);
    for (let start = 0; start < secrets.length; start += 50) {
      const statuses = await Promise.all(
        secrets.slice(start, start + 50).map((secret) => world.chat(secret, 1)),
      );
      expect(new Set(statuses)).toEqual(new Set([401]));
    }
    return relay.seen(LOOKUP) - before;
  }

  test("guesses without the checksum, when they come, then no statement asks for them", async () => {
    const wrong = guesses(
      300,
      () => `sk-gw-${randomBytes(36).toString("base64url").padEnd(49, "A").slice(0, 49)}`,
    );
    expect(await lookupsOf(wrong)).toBe(0);
  });

  test("one wrong key, when it comes many times, then one statement asks for it", async () => {
    const { secret } = createKey();
    expect(await lookupsOf(guesses(60, () => secret))).toBe(1);
  });

  test("many that are well-formed, when the database is slow, then few statements wait for it, and known keys stay known", async () => {
    const known = await world.makeKey("acme");
    expect(await world.chat(known.secret, 1)).toBe(200);
    relay.cut();
    const before = relay.seen(LOOKUP);
    const statuses = await Promise.all(
      guesses(300, () => createKey().secret).map((secret) => world.chat(secret, 1)),
    );
    expect(new Set(statuses)).toEqual(new Set([503]));
    expect(relay.seen(LOOKUP) - before).toBeLessThanOrEqual(10);
    expect(await world.chat(known.secret, 1)).toBe(200);
  });

  test("refusals, when there are many alike, then few entries of the audit log count all of them", async () => {
    const refused = 80;
    await Promise.all(guesses(refused, () => "sk-wrong").map((secret) => world.chat(secret, 1)));
    let entries: { status: number; count: number; key: null }[] = [];
    await until(async () => {
      const { body } = await world.admin("GET", "/audit?status=401&limit=100");
      entries = body.data as typeof entries;
      return entries.reduce((sum, { count }) => sum + count, 0) === refused;
    }, 20_000);
    expect(entries.length).toBeLessThanOrEqual(5);
    expect(entries[0]).toMatchObject({ key: null, status: 401, endpoint: "/v1/chat/completions" });
    expect(JSON.stringify(entries)).not.toContain("sk-wrong");
  });

  test("refusals, when their gateway ends right after, then the audit log has them all the same", async () => {
    for (let index = 0; index < 3; index += 1) expect(await world.chat("sk-wrong", 1)).toBe(401);
    await world.closeGateway(1);
    const { body } = await world.admin("GET", "/audit?status=401&limit=100");
    const entries = body.data as { count: number }[];
    expect(entries.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  });
});
