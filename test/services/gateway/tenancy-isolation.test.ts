import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN_ROUTES } from "../../../services/gateway/admin/router.ts";
import { POSTGRES_KINDS } from "../stores.ts";
import { until } from "./support.ts";
import { type Made, World } from "./tenancy-world.ts";

const ALL = ["*:*"];

describe.each(POSTGRES_KINDS)("two tenants with all permissions (%s)", (postgres) => {
  let world: World;
  let own: Made;
  let foreign: Made;

  beforeAll(async () => {
    world = await World.start({ postgres });
    for (const tenant of ["ours", "theirs"]) {
      await world.makeTenant(tenant);
      await world.admin("POST", `/tenants/${tenant}/projects`, { body: { id: "secret-project" } });
    }
    own = await world.makeKey("ours", { permissions: ALL });
    foreign = await world.makeKey("theirs", { permissions: ALL });
  });
  afterAll(() => world.close());

  /** A valid body for each route, so that nothing but the tenant can be what refuses it. */
  const BODIES: Record<string, object> = {
    createTenant: { id: "third" },
    updateTenant: { version: 1, tier: "gold" },
    createProject: { id: "intruder" },
    updateProject: { version: 1, disabled: true },
    createKey: {},
    rotateKey: {},
  };

  test("every route with the other's ids, when one of them asks, then nothing seems to be there and nothing changes", async () => {
    const withTenant = ADMIN_ROUTES.filter(({ path }) => path.includes("{tenant}"));
    expect(withTenant.length).toBeGreaterThanOrEqual(10);
    for (const { method, path, operationId } of withTenant) {
      for (const tenant of ["theirs", "nobody", "THEIRS", "platform"]) {
        const there = path
          .replace("{tenant}", tenant)
          .replace("{key}", foreign.id)
          .replace("{project}", "secret-project");
        const asked = await world.admin(method.toUpperCase(), there, {
          key: own.secret,
          body: BODIES[operationId],
        });
        const expected = operationId === "updateTenant" ? [403] : [404];
        expect(expected, `${operationId} ${there}`).toContain(asked.status);
        expect(JSON.stringify(asked.body)).not.toContain("secret-project");
      }
    }
    expect(await world.chat(foreign.secret)).toBe(200);
    expect((await world.admin("GET", "/tenants/theirs")).body).toMatchObject({ version: 1, tier: "bronze" });
    const keys = (await world.admin("GET", "/tenants/theirs/keys")).body.data as object[];
    expect(keys).toHaveLength(1);
    const projects = (await world.admin("GET", "/tenants/theirs/projects")).body.data as object[];
    expect(projects).toHaveLength(1);
  });

  test("the other's key, when it is named below the own tenant, then it is not there", async () => {
    for (const action of ["", "/rotate", "/revoke"]) {
      const method = action === "" ? "GET" : "POST";
      const path = `/tenants/ours/keys/${foreign.id}${action}`;
      const { status } = await world.admin(method, path, {
        key: own.secret,
        ...(action === "/rotate" ? { body: {} } : {}),
      });
      expect(status).toBe(404);
    }
    expect(await world.chat(foreign.secret)).toBe(200);
  });

  test("the list of tenants, when a tenant asks, then it has the own one alone", async () => {
    const { body } = await world.admin("GET", "/tenants", { key: own.secret });
    expect(body).toMatchObject({ data: [{ id: "ours" }], next: null });
  });

  test("the audit log, when a tenant asks, then it has its own accesses and what operators did to it, and nothing of the other's", async () => {
    await world.chat("sk-no-such-key");
    await until(async () => {
      const { data } = (await world.admin("GET", "/audit?limit=100")).body as { data: { tenant: string }[] };
      return data.some(({ tenant }) => tenant === "theirs") && data.some(({ tenant }) => tenant === "ours");
    });
    const { body } = await world.admin("GET", "/audit?limit=100", { key: own.secret });
    const seen = body.data as { tenant: string; target: string | null; action: string }[];
    const others = seen.filter(({ tenant }) => tenant !== "ours");
    expect(others.map(({ tenant }) => tenant)).toContain("platform");
    expect(
      others.every(({ tenant, target }) => tenant === "platform" && /^ours(\/|$)/.test(target ?? "")),
    ).toBe(true);
    const asked = await world.admin("GET", "/audit?tenant=theirs", { key: own.secret });
    expect(asked.status).toBe(404);
  });

  describe("a tenant's own key that wants more", () => {
    async function grants(key: string, body: object): Promise<number> {
      return (await world.admin("POST", "/tenants/ours/keys", { key, body })).status;
    }

    test("when it makes or changes tenants, then it may not, whatever its permissions", async () => {
      const made = await world.admin("POST", "/tenants", { key: own.secret, body: { id: "third" } });
      const body = { version: 1, tier: "gold", limits: { requestsPerMinute: null } };
      const changed = await world.admin("PATCH", "/tenants/ours", { key: own.secret, body });
      expect([made.status, changed.status]).toEqual([403, 403]);
    });

    test("when it makes a key that acts for all tenants, then it may not", async () => {
      expect(await grants(own.secret, { operator: true })).toBe(403);
    });

    test("when it has few permissions, then it gives no others, not by wildcards either", async () => {
      const { secret } = await world.makeKey("ours", {
        permissions: ["write:keys", "create:chat", "read:*"],
      });
      const permitted = [["create:chat"], ["read:*"], ["read:audit", "write:keys"], []];
      for (const permissions of permitted) expect(await grants(secret, { permissions })).toBe(201);
      const refused = [["*:*"], ["create:*"], ["*:chat"], ["create:chat", "write:costs"], ["write:tenants"]];
      for (const permissions of refused) expect(await grants(secret, { permissions })).toBe(403);
      // What a key has by default is more than this one has.
      expect(await grants(secret, {})).toBe(403);
    });

    test("when it has some models, then it gives no others, and some of them by default", async () => {
      const permissions = ["write:keys", "create:chat"];
      const { secret } = await world.makeKey("ours", { permissions, models: ["chat-*"] });
      for (const models of [["chat-model"], ["chat-*"], ["chat-a*b"], []])
        expect(await grants(secret, { permissions, models })).toBe(201);
      for (const models of [["*"], ["chat*"], ["chat-model", "embedding-model"], ["*chat-*"]])
        expect(await grants(secret, { permissions, models })).toBe(403);
      const asked = { key: secret, body: { permissions } };
      expect((await world.admin("POST", "/tenants/ours/keys", asked)).body).toMatchObject({
        models: ["chat-*"],
      });
    });

    test("when it has bounds or an end, then it gives neither wider ones nor a later one, and its own by default", async () => {
      const permissions = ["write:keys"];
      const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
      const limits = { requestsPerMinute: 10 };
      const { secret } = await world.makeKey("ours", { permissions, expiresAt, limits });
      for (const body of [{ limits: { requestsPerMinute: 5 } }, { limits: { tokensPerMinute: 1 } }])
        expect(await grants(secret, { permissions, ...body })).toBe(201);
      const later = new Date(Date.now() + 7_200_000).toISOString();
      const wider = [
        { limits: { requestsPerMinute: 11 } },
        { limits: { requestsPerMinute: null } },
        { expiresAt: later },
        { expiresAt: null },
      ];
      for (const body of wider) expect(await grants(secret, { permissions, ...body })).toBe(403);
      const asked = { key: secret, body: { permissions } };
      expect((await world.admin("POST", "/tenants/ours/keys", asked)).body).toMatchObject({
        limits,
        expiresAt,
      });
    });

    test("when it rotates a key that may do more, then it is not given that one's successor", async () => {
      const { secret } = await world.makeKey("ours", { permissions: ["write:keys"] });
      const path = `/tenants/ours/keys/${own.id}/rotate`;
      expect((await world.admin("POST", path, { key: secret, body: {} })).status).toBe(403);
      expect(await world.chat(own.secret)).toBe(200);
    });

    test("when it has no permission for the route, then it may not, not in its own tenant either", async () => {
      const { secret } = await world.makeKey("ours", { permissions: ["create:chat"] });
      for (const { method, path, operationId } of ADMIN_ROUTES) {
        const there = path.replace("{tenant}", "ours").replace("{key}", own.id).replace("{project}", "x");
        const body = BODIES[operationId];
        const asked = await world.admin(method.toUpperCase(), there, { key: secret, body });
        expect(asked.status, operationId).toBe(403);
      }
    });
  });

  describe("inputs that mean harm", () => {
    const HOSTILE = [
      "'; drop table tenants; --",
      "' or '1'='1",
      "../theirs",
      "..%2ftheirs",
      "%00",
      "theirs%00",
      "\u202etheirs",
      "{theirs}",
      "constructor",
      "__proto__",
      "toString",
      "x".repeat(5_000),
    ];

    test("in a path, when they come, then nothing is there and nothing breaks", async () => {
      for (const text of HOSTILE) {
        const name = text.includes("%") ? text : encodeURIComponent(text);
        for (const path of [`/tenants/${name}`, `/tenants/${name}/keys`, `/tenants/ours/keys/${name}`]) {
          const { status } = await world.admin("GET", path);
          expect([400, 404], `${path} ${status}`).toContain(status);
        }
      }
      expect((await world.admin("GET", "/tenants/theirs")).status).toBe(200);
    });

    test("in a query or a body, when they come, then they are refused with each problem, or kept as text", async () => {
      for (const text of HOSTILE.slice(0, 2)) {
        const query = new URLSearchParams({
          tenant: text,
          key: text,
          action: text,
          status: text,
          after: text,
        });
        const { status, body } = await world.admin("GET", `/audit?${query}`);
        expect(status).toBe(400);
        const { message } = body.error as { message: string };
        for (const field of ["tenant", "key", "action", "status", "after"])
          expect(message).toContain(`'${field}'`);
        expect(message).not.toContain("drop table");
        const { id } = await world.makeKey("ours", { name: text });
        expect((await world.admin("GET", `/tenants/ours/keys/${id}`)).body).toMatchObject({ name: text });
      }
    });

    test("in a body, when it is wrong in several places, then all of them are told and none of the names", async () => {
      const body = {
        id: "a b",
        tier: "platinum",
        limits: { requestsPerMinute: 0 },
        budget: { dailyUsd: -1 },
        evil: 1,
      };
      const { status, body: answer } = await world.admin("POST", "/tenants", { body });
      expect(status).toBe(400);
      const { message } = answer.error as { message: string };
      for (const field of [
        "'id'",
        "'tier'",
        "'limits.requestsPerMinute'",
        "'budget.dailyUsd'",
        "1 unknown field",
      ])
        expect(message).toContain(field);
      expect(message).not.toContain("evil");
    });

    test("a body that is no object, when it comes, then it is refused", async () => {
      for (const body of ["[]", "null", "{", '"text"', '{"__proto__":{"operator":true}}', "\u0000"]) {
        const { status } = await world.admin("POST", "/tenants/ours/keys", { body, key: own.secret });
        expect(status, body).toBe(400);
      }
    });

    test("other methods and paths, when they come, then the answer says so, once the caller is known", async () => {
      expect((await world.admin("DELETE", "/tenants/ours")).status).toBe(405);
      expect((await world.admin("GET", "/nothing")).status).toBe(404);
      expect((await world.admin("GET", "/nothing", { key: "sk-wrong" })).status).toBe(401);
      expect((await world.admin("GET", "//")).status).toBe(404);
    });
  });
});
