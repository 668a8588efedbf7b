import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createKey } from "../../../services/gateway/tenancy/api-key.ts";
import { POSTGRES_KINDS, REDIS_KINDS } from "../stores.ts";
import { metric, until } from "./support.ts";
import { startRelay } from "./tenancy-relay.ts";
import { LOOSE, type Made, World } from "./tenancy-world.ts";

/** What a request may take on a machine that is busy with other things; alone it takes some milliseconds. */
const SOON_MS = 2_000;

const postgres = POSTGRES_KINDS[0] ?? "embedded";

describe("a database that accepts and never answers", () => {
  let world: World;
  let key: Made;

  beforeEach(async () => {
    world = await World.start({ postgres });
    await world.makeTenant("acme");
    key = await world.makeKey("acme");
    expect(await world.chat(key.secret)).toBe(200);
  });
  afterEach(() => world.close());

  async function timed(secret: string): Promise<{ status: number; ms: number }> {
    const since = performance.now();
    return { status: await world.chat(secret), ms: performance.now() - since };
  }

  test("known keys, when it falls silent, then they go on, also those of the environment, without waiting for it", async () => {
    world.postgres.pause();
    for (let round = 0; round < 20; round += 1) {
      for (const secret of [key.secret, LOOSE]) {
        const { status, ms } = await timed(secret);
        expect(status).toBe(200);
        expect(ms).toBeLessThan(SOON_MS);
      }
    }
  });

  test("unknown keys, when it falls silent, then they are told soon that this is not known, and ours alone", async () => {
    world.postgres.pause();
    const stranger = createKey().secret;
    for (let round = 0; round < 3; round += 1) {
      const { status, ms } = await timed(stranger);
      expect(status).toBe(503);
      expect(ms).toBeLessThan(SOON_MS);
    }
    // What cannot be a key needs nobody to say so.
    expect((await timed("sk-anything")).status).toBe(401);
    world.postgres.resume();
    await until(async () => (await timed(stranger)).status === 401);
  });

  test("a key that is made, when it is away, then the admin API says soon that it is not available", async () => {
    world.postgres.pause();
    await until(async () => {
      const since = performance.now();
      const { status } = await world.admin("POST", "/tenants/acme/keys", { body: {} });
      expect(status).toBe(503);
      return performance.now() - since < SOON_MS;
    });
  });

  test("known keys, when it is away for longer than they may be stale, then they are refused as not known", async () => {
    const at = await world.addGateway({ settings: { auth: { staleSeconds: 1 } } });
    expect(await world.chat(key.secret, at)).toBe(200);
    world.postgres.pause();
    await until(async () => (await world.chat(key.secret, at)) === 503);
    expect(await world.chat(key.secret, 0)).toBe(200);
    world.postgres.resume();
    await until(async () => (await world.chat(key.secret, at)) === 200);
  });
});

describe.each(REDIS_KINDS)(
  "a gateway that is cut off from the database, but not from the key-value store (%s)",
  (redis) => {
    let world: World;
    let relay: Awaited<ReturnType<typeof startRelay>>;

    beforeEach(async () => {
      world = await World.start({ postgres, redis });
      relay = await startRelay(world.postgres.url);
      await world.addGateway({ env: { GATEWAY_DATABASE_URL: relay.url } });
      await world.makeTenant("acme");
    });
    afterEach(async () => {
      await relay.close();
      await world.close();
    });

    test("a key, when it is revoked elsewhere, then it is refused here within a second, and others go on", async () => {
      const [revoked, other] = [await world.makeKey("acme"), await world.makeKey("acme")];
      for (const { secret } of [revoked, other]) expect(await world.chat(secret, 1)).toBe(200);
      relay.cut();
      await until(
        async () => (await metric(world.url(1), "gateway_dependency_up", { dependency: "ledger" })) === 0,
      );
      expect(await world.chat(revoked.secret, 1)).toBe(200);
      await world.admin("POST", `/tenants/acme/keys/${revoked.id}/revoke`);
      await until(async () => (await world.chat(revoked.secret, 1)) === 401, 5_000);
      expect(await world.chat(other.secret, 1)).toBe(200);
    });

    test("a key, when it is revoked elsewhere, then it is refused here, too, where no limit is asked for", async () => {
      const { id, secret } = await world.makeKey("acme");
      const list = async () => {
        const headers = { authorization: `Bearer ${secret}` };
        return (await fetch(`${world.url(1)}/v1/models`, { headers })).status;
      };
      expect(await list()).toBe(200);
      relay.cut();
      await until(
        async () => (await metric(world.url(1), "gateway_dependency_up", { dependency: "ledger" })) === 0,
      );
      expect(await list()).toBe(200);
      await world.admin("POST", `/tenants/acme/keys/${id}/revoke`);
      // The limits' script, which would refuse it as well, never sees these requests.
      await until(async () => (await list()) === 401, 5_000);
    });

    test("a tenant, when it is disabled elsewhere, then its keys are refused here, too", async () => {
      const { secret } = await world.makeKey("acme");
      expect(await world.chat(secret, 1)).toBe(200);
      relay.cut();
      await until(
        async () => (await metric(world.url(1), "gateway_dependency_up", { dependency: "ledger" })) === 0,
      );
      await world.admin("PATCH", "/tenants/acme", { body: { version: 1, disabled: true } });
      await until(async () => (await world.chat(secret, 1)) === 401, 5_000);
    });

    test("known keys, when the key-value store falls silent as well, then they go on", async () => {
      const { secret } = await world.makeKey("acme");
      expect(await world.chat(secret, 1)).toBe(200);
      relay.cut();
      world.redis?.pause();
      for (let round = 0; round < 10; round += 1) expect(await world.chat(secret, 1)).toBe(200);
    });
  },
);
