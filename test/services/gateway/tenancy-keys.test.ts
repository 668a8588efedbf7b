import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { POSTGRES_KINDS } from "../stores.ts";
import { until } from "./support.ts";
import { FIXED, LOOSE, World } from "./tenancy-world.ts";

/** Promised is a second; on a machine that is busy with other things the requests alone may take longer. */
const EVERYWHERE_MS = 5_000;

describe.each(POSTGRES_KINDS)("keys in PostgreSQL (%s), at two gateways", (postgres) => {
  let world: World;
  let tenants = 0;

  beforeAll(async () => {
    world = await World.start({ postgres, gateways: 2 });
  });
  afterAll(() => world.close());

  async function freshTenant(fields: object = {}): Promise<string> {
    tenants += 1;
    await world.makeTenant(`tenant-${tenants}`, fields);
    return `tenant-${tenants}`;
  }

  async function readKey(tenant: string, id: string) {
    return (await world.admin("GET", `/tenants/${tenant}/keys/${id}`)).body;
  }

  async function refusedEverywhere(secret: string): Promise<void> {
    const since = performance.now();
    await until(async () => (await world.chat(secret, 1)) === 401, EVERYWHERE_MS);
    expect(performance.now() - since).toBeLessThan(EVERYWHERE_MS);
    expect(await world.chat(secret, 0)).toBe(401);
  }

  test("a key, when it was made at one gateway, then it works at both at once", async () => {
    const { secret } = await world.makeKey(await freshTenant());
    expect(secret).toMatch(/^sk-gw-[\w-]{49}$/);
    expect(await Promise.all([world.chat(secret, 0), world.chat(secret, 1)])).toEqual([200, 200]);
  });

  test("a key, when it is read later, then neither it nor its hash is told", async () => {
    const tenant = await freshTenant();
    const { id, secret } = await world.makeKey(tenant, { name: "for the app" });
    const key = await readKey(tenant, id);
    expect(key).toMatchObject({
      name: "for the app",
      status: "active",
      hint: secret.slice(-4),
      createdBy: "admin",
    });
    expect(JSON.stringify(key)).not.toContain(secret);
    expect(Object.keys(key)).not.toContain("sha256");
  });

  test("a key that was in use, when it is revoked at one gateway, then the other refuses it within a second", async () => {
    const tenant = await freshTenant();
    const { id, secret } = await world.makeKey(tenant);
    expect(await world.chat(secret, 1)).toBe(200);
    const { body } = await world.admin("POST", `/tenants/${tenant}/keys/${id}/revoke`);
    expect(body).toMatchObject({ status: "revoked", revokedAt: expect.any(String) });
    await refusedEverywhere(secret);
  });

  test("keys of a tenant that did not change, when they are revoked at one gateway, then the other refuses them within a second", async () => {
    const took: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      // A tenant of the settings file: no change but the key's own makes the other gateway forget it.
      const { id, secret } = await world.makeKey("fixed");
      expect(await world.chat(secret, 1)).toBe(200);
      await world.admin("POST", `/tenants/fixed/keys/${id}/revoke`);
      const since = performance.now();
      await refusedEverywhere(secret);
      took.push(performance.now() - since);
    }
    // All but the first begin when changes were just asked for, so that they take the longest. A busy machine makes
    // one of them late, hardly all.
    expect(Math.min(...took.slice(1))).toBeLessThan(1_000);
  });

  test("a key, when it is revoked, then the same gateway refuses it from the answer on", async () => {
    const tenant = await freshTenant();
    const { id, secret } = await world.makeKey(tenant);
    expect(await world.chat(secret)).toBe(200);
    await world.admin("POST", `/tenants/${tenant}/keys/${id}/revoke`);
    expect(await world.chat(secret)).toBe(401);
  });

  test("a tenant, when it is disabled, then its keys are refused everywhere, until it is enabled again", async () => {
    const tenant = await freshTenant();
    const { secret } = await world.makeKey(tenant);
    expect(await world.chat(secret, 1)).toBe(200);
    await world.admin("PATCH", `/tenants/${tenant}`, { body: { version: 1, disabled: true } });
    await refusedEverywhere(secret);
    await world.admin("PATCH", `/tenants/${tenant}`, { body: { version: 2, disabled: false } });
    await until(async () => (await world.chat(secret, 1)) === 200, EVERYWHERE_MS);
  });

  test("a project, when it is disabled, then its keys are refused everywhere, and others go on", async () => {
    const tenant = await freshTenant();
    await world.admin("POST", `/tenants/${tenant}/projects`, { body: { id: "shop" } });
    const shop = await world.makeKey(tenant, { project: "shop" });
    const other = await world.makeKey(tenant);
    expect(await world.chat(shop.secret, 1)).toBe(200);
    await world.admin("PATCH", `/tenants/${tenant}/projects/shop`, { body: { version: 1, disabled: true } });
    await refusedEverywhere(shop.secret);
    expect(await world.chat(other.secret, 1)).toBe(200);
  });

  test("a key with an end, when that has come, then every gateway refuses it without being told", async () => {
    const tenant = await freshTenant();
    const expiresAt = new Date(Date.now() + 6_000).toISOString();
    const { id, secret } = await world.makeKey(tenant, { expiresAt });
    expect(await Promise.all([world.chat(secret, 0), world.chat(secret, 1)])).toEqual([200, 200]);
    await until(() => Date.now() >= Date.parse(expiresAt), 20_000);
    expect(await Promise.all([world.chat(secret, 0), world.chat(secret, 1)])).toEqual([401, 401]);
    expect(await readKey(tenant, id)).toMatchObject({ status: "expired" });
  });

  test("a key that is rotated, when the overlap lasts, then both work, and when it is over, only the successor", async () => {
    const tenant = await freshTenant();
    const old = await world.makeKey(tenant, { permissions: ["create:chat"], models: ["chat-*"] });
    expect(await world.chat(old.secret, 1)).toBe(200);
    const path = `/tenants/${tenant}/keys/${old.id}/rotate`;
    const { status, body } = await world.admin("POST", path, { body: { overlapSeconds: 8 } });
    expect(status).toBe(201);
    expect(body).toMatchObject({ permissions: ["create:chat"], models: ["chat-*"], project: "default" });
    const successor = String(body.secret);
    expect(await Promise.all([world.chat(old.secret, 1), world.chat(successor, 1)])).toEqual([200, 200]);
    await until(async () => (await world.chat(old.secret, 1)) === 401, 30_000);
    expect(await world.chat(successor, 1)).toBe(200);
    expect(await readKey(tenant, old.id)).toMatchObject({ status: "expired", successor: body.id });
  });

  test("a key that was rotated or revoked, when it is rotated, then that is a conflict", async () => {
    const tenant = await freshTenant();
    const [rotated, revoked] = [await world.makeKey(tenant), await world.makeKey(tenant)];
    await world.admin("POST", `/tenants/${tenant}/keys/${revoked.id}/revoke`);
    await world.admin("POST", `/tenants/${tenant}/keys/${rotated.id}/rotate`, { body: {} });
    for (const { id } of [rotated, revoked]) {
      const again = await world.admin("POST", `/tenants/${tenant}/keys/${id}/rotate`, { body: {} });
      expect(again).toMatchObject({ status: 409, body: { error: { code: "conflict" } } });
    }
  });

  test("a key for some models, when it asks for others, then it is refused, and its list has only those", async () => {
    const { secret } = await world.makeKey(await freshTenant(), { models: ["embed*-model"] });
    expect(await world.chat(secret)).toBe(403);
    const headers = { authorization: `Bearer ${secret}` };
    const list = await (await fetch(`${world.url()}/v1/models`, { headers })).json();
    expect(list).toMatchObject({ data: [{ id: "embedding-model" }] });
    expect((await fetch(`${world.url()}/v1/models/chat-model`, { headers })).status).toBe(404);
    expect((await fetch(`${world.url()}/v1/models/embedding-model`, { headers })).status).toBe(200);
  });

  test("a key without a permission, when it does what needs it, then it is refused by name of the error", async () => {
    const { secret } = await world.makeKey(await freshTenant(), { permissions: ["read:models"] });
    expect(await world.chat(secret)).toBe(403);
    const headers = { authorization: `Bearer ${secret}` };
    expect((await fetch(`${world.url()}/v1/models`, { headers })).status).toBe(200);
  });

  test.each([
    ["another action on it", ["read:chat", "write:chat"]],
    ["the action on something else", ["create:models", "create:embeddings"]],
    ["both, but never together", ["read:chat", "create:models"]],
    ["nothing", []],
  ])("a key that permits %s, when it chats, then it is refused", async (_, permissions) => {
    const { secret } = await world.makeKey(await freshTenant(), { permissions });
    expect(await world.chat(secret)).toBe(403);
  });

  test.each(["create:chat", "*:chat", "create:*", "*:*"])(
    "a key that permits %s, when it chats, then it may",
    async (permission) => {
      const { secret } = await world.makeKey(await freshTenant(), { permissions: [permission] });
      expect(await world.chat(secret)).toBe(200);
    },
  );

  test("a key, when it was used, then the time of that is noted, roughly", async () => {
    const at = await world.addGateway({ settings: { auth: { lastUsedSeconds: 1 } } });
    const tenant = await freshTenant();
    const { id, secret } = await world.makeKey(tenant);
    expect(await readKey(tenant, id)).toMatchObject({ lastUsedAt: null });
    expect(await world.chat(secret, at)).toBe(200);
    await until(async () => (await readKey(tenant, id)).lastUsedAt !== null);
  });

  test("a key of the environment, when its tenant is made and disabled in the database, then that counts for it", async () => {
    expect(await world.chat(LOOSE, 1)).toBe(200);
    await world.makeTenant("loose");
    await world.admin("PATCH", "/tenants/loose", { body: { version: 1, disabled: true } });
    await refusedEverywhere(LOOSE);
    await world.admin("PATCH", "/tenants/loose", { body: { version: 2, disabled: false } });
    await until(async () => (await world.chat(LOOSE, 1)) === 200, EVERYWHERE_MS);
    expect(await world.chat(FIXED, 1)).toBe(200);
  });

  test("a tenant of the settings file, when it is made or changed here, then that is a conflict, but it may have keys", async () => {
    expect((await world.admin("POST", "/tenants", { body: { id: "fixed" } })).status).toBe(409);
    expect((await world.admin("PATCH", "/tenants/fixed", { body: { version: 0 } })).status).toBe(409);
    const { secret } = await world.makeKey("fixed");
    expect(await world.chat(secret, 1)).toBe(200);
  });

  test("two changes from one version, when both are made, then the second is a conflict and changes nothing", async () => {
    const tenant = await freshTenant();
    const first = await world.admin("PATCH", `/tenants/${tenant}`, { body: { version: 1, tier: "gold" } });
    const second = await world.admin("PATCH", `/tenants/${tenant}`, { body: { version: 1, tier: "silver" } });
    expect([first.status, second.status]).toEqual([200, 409]);
    expect((await world.admin("GET", `/tenants/${tenant}`)).body).toMatchObject({ tier: "gold", version: 2 });
  });

  test("many changes at once, when a gateway follows them, then it misses none", async () => {
    const tenant = await freshTenant();
    const keys = await Promise.all(Array.from({ length: 20 }, () => world.makeKey(tenant)));
    await Promise.all(keys.map(({ secret }) => world.chat(secret, 1)));
    await Promise.all(
      keys.map(({ id }, index) =>
        world.admin("POST", `/tenants/${tenant}/keys/${id}/revoke`, { at: index % 2 }),
      ),
    );
    await until(async () => {
      const statuses = await Promise.all(keys.map(({ secret }) => world.chat(secret, 1)));
      return statuses.every((status) => status === 401);
    }, EVERYWHERE_MS);
  });
});
