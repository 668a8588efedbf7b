import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, TestPlatform } from "./support.ts";

interface Key {
  readonly id: string;
  readonly secret: string;
}

describe("tenants and keys by the command line", () => {
  const platform = new TestPlatform();
  let url = "";

  beforeAll(async () => {
    const started = await platform.start();
    expect(started).toMatchObject({ code: 0, stderr: "" });
    url = (await platform.status()).gateway ?? "";
  }, 180_000);
  afterAll(() => platform.close(), 60_000);

  async function json<T>(command: string, ...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await platform.run(command, [...args, "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout) as T;
  }

  test("a tenant's life, when an operator types it, then its keys work and end as they are told to", async () => {
    const made = await json<{ version: number }>(
      "tenants",
      "create",
      "acme",
      "--tier",
      "gold",
      "--daily-usd",
      "50",
    );
    expect(made).toMatchObject({ id: "acme", tier: "gold", budget: { dailyUsd: 50 }, version: 1 });
    await json("projects", "create", "shop", "--tenant", "acme");
    const first = await json<Key>(
      "keys",
      "create",
      "--tenant",
      "acme",
      "--project",
      "shop",
      "--expires",
      "90d",
    );
    expect((await chat(url, first.secret)).status).toBe(200);

    const second = await json<Key>("keys", "rotate", first.id, "--tenant", "acme", "--overlap", "1h");
    const statuses = await Promise.all([chat(url, first.secret), chat(url, second.secret)]);
    expect(statuses.map(({ status }) => status)).toEqual([200, 200]);
    await json("keys", "revoke", first.id, "--tenant", "acme");
    expect(
      (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${first.secret}` } })).status,
    ).toBe(401);

    await json("tenants", "disable", "acme");
    expect(
      (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${second.secret}` } })).status,
    ).toBe(401);
    await json("tenants", "enable", "acme");
    const updated = await json("tenants", "update", "acme", "--requests-per-minute", "none");
    expect(updated).toMatchObject({ limits: { requestsPerMinute: null }, tier: "gold", disabled: false });
    expect((await chat(url, second.secret)).status).toBe(200);
    const reset = await json<{ limits: object }>(
      "tenants",
      "update",
      "acme",
      "--requests-per-minute",
      "default",
    );
    expect(reset.limits).not.toHaveProperty("requestsPerMinute");
  });

  test("lists, when people look, then they show what there is, and no key", async () => {
    const { stdout: tenants } = await platform.run("tenants", ["list"]);
    expect(tenants).toMatch(/^acme +gold/m);
    const { stdout: keys } = await platform.run("keys", ["list", "--tenant", "acme"]);
    expect(keys.match(/^key-/gm)).toHaveLength(2);
    expect(keys).toContain("revoked");
    expect(keys).not.toContain("sk-gw-");
    const { data } = await json<{ data: { action: string }[] }>("audit", "list", "--tenant", "platform");
    expect(data.map(({ action }) => action)).toContain("write:keys");
  });

  test("mistakes, when they are typed, then the problem and the remedy are told", async () => {
    const mistakes: [string, string[], RegExp][] = [
      ["tenants", [], /no action is given[\s\S]*remedy: use list/],
      ["tenants", ["create", "acme"], /There is a tenant of this id[\s\S]*remedy/],
      ["tenants", ["create", "a b"], /'id' is no plain name/],
      ["keys", ["list"], /--tenant is missing/],
      ["keys", ["create", "--tenant", "nobody"], /nothing at this path[\s\S]*remedy: list/],
      ["keys", ["create", "--tenant", "acme", "--expires", "soon"], /--expires is no time/],
    ];
    for (const [command, args, problem] of mistakes) {
      const { code, stderr } = await platform.run(command, args);
      expect(code).toBe(1);
      expect(stderr).toMatch(problem);
    }
  });
});
