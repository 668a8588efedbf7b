import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseSettings } from "../../../services/gateway/settings.ts";
import { startGatewayProcess } from "./process.ts";
import { metric, post, startReplica, until } from "./support.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "gateway-settings-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function running(file: string) {
  const replica = await startReplica();
  onTestFinished(() => replica.close());
  const gateway = await startGatewayProcess({
    replicas: [replica.url],
    env: { GATEWAY_SETTINGS_FILE: file },
  });
  onTestFinished(() => gateway.signal("SIGKILL"));
  return { gateway, replica };
}

const events = (log: Record<string, unknown>[], event: string) => log.filter((line) => line.event === event);
const reloads = (url: string, outcome: string) => metric(url, "gateway_settings_reloads_total", { outcome });

describe("a settings file", () => {
  test("an empty one, when it is read, then everything has its default", () => {
    const { settings, problems } = parseSettings("", "FILE");
    expect(problems).toEqual([]);
    expect(settings?.limits.tiers.bronze).toMatchObject({ requestsPerMinute: 60, tokensPerMinute: 100_000 });
  });

  test("one with several mistakes, when it is read, then all are told with field and remedy, and no value", () => {
    const text =
      "limits: {tiers: {bronze: {requestsPerMinute: -7}}}\ntenants: {acme: {tier: sk-secret}}\nlimit: {}";
    const { settings, problems } = parseSettings(text, "FILE");
    expect(settings).toBeUndefined();
    expect(problems.map(({ field }) => field).sort()).toEqual([
      "FILE",
      "FILE.limits.tiers.bronze.requestsPerMinute",
      "FILE.tenants.acme.tier",
    ]);
    for (const { remedy } of problems) expect(remedy).not.toBe("");
    expect(JSON.stringify(problems)).not.toMatch(/sk-secret|-7/);
  });

  test.each(["[1]", "just words", "{a: [}", "a: 1\na: 2"])(
    "%s, when it is read, then it is refused",
    (text) => {
      const { settings, problems } = parseSettings(text, "FILE");
      expect(settings).toBeUndefined();
      expect(problems).toHaveLength(1);
    },
  );
});

describe("a gateway whose settings file changes", () => {
  test("when the new one is right, then it is taken over and no request is lost meanwhile", async () => {
    const file = join(folder(), "settings.yaml");
    writeFileSync(file, "");
    const { gateway } = await running(file);
    let stop = false;
    const statuses = new Set<number>();
    const load = Array.from({ length: 4 }, async () => {
      while (!stop) statuses.add((await post(gateway.url)).status);
    });
    const unbounded = "{requestsPerMinute: null, tokensPerMinute: null, concurrency: null}";
    for (let round = 1; round <= 3; round += 1) {
      writeFileSync(file, `tenants: {acme: {tier: gold, limits: ${unbounded}}, round-${round}: {}}`);
      gateway.signal("SIGHUP");
      await until(async () => (await reloads(gateway.url, "applied")) >= round);
    }
    stop = true;
    await Promise.all(load);
    expect(statuses).toEqual(new Set([200]));
  });

  test("when nobody says so, then it notices by itself, also behind a link that is moved", async () => {
    const path = folder();
    for (const name of ["one", "two"]) writeFileSync(join(path, `${name}.yaml`), `tenants: {${name}: {}}`);
    const link = join(path, "settings.yaml");
    symlinkSync("one.yaml", link);
    const { gateway } = await running(link);
    symlinkSync("two.yaml", `${link}.new`);
    renameSync(`${link}.new`, link);
    await until(() => events(gateway.log, "settings_applied").length > 0, 20_000);
  });

  test("when the new one is wrong, then the old one goes on, and log and metric tell it", async () => {
    const file = join(folder(), "settings.yaml");
    writeFileSync(file, "");
    const { gateway } = await running(file);
    writeFileSync(file, "limits: {tiers: {iron: {}}}\nqueues: {}");
    gateway.signal("SIGHUP");
    await until(() => events(gateway.log, "settings_refused").length === 2);
    expect((await post(gateway.url)).status).toBe(200);
    expect(await reloads(gateway.url, "refused")).toBeGreaterThan(0);
    expect(await reloads(gateway.url, "applied")).toBe(0);
  });

  test.each([
    ["leads to no model", "routing: {aliases: {fast: no-such-model}}", "routing.aliases.fast"],
    ["needs a key that is not there", "telemetry: {users: true}", "GATEWAY_TELEMETRY_KEY"],
  ])(
    "when a part of it %s, then it is named and nothing else is taken over either",
    async (_, wrong, field) => {
      const file = join(folder(), "settings.yaml");
      writeFileSync(file, "");
      const { gateway } = await running(file);
      writeFileSync(file, `tenants: {acme: {limits: {requestsPerMinute: 1}}}\n${wrong}`);
      gateway.signal("SIGHUP");
      await until(() => events(gateway.log, "settings_refused").length > 0);
      expect(events(gateway.log, "settings_refused")[0]?.field).toContain(field);
      for (let index = 0; index < 3; index += 1) expect((await post(gateway.url)).status).toBe(200);
      expect(events(gateway.log, "settings_applied")).toEqual([]);
      expect(await reloads(gateway.url, "applied")).toBe(0);
    },
  );

  test("when it starts with a wrong one, then it ends and names every problem", async () => {
    const file = join(folder(), "settings.yaml");
    writeFileSync(file, "limits: {tiers: {iron: {}}}\nqueues: {}");
    const starting = startGatewayProcess({
      replicas: ["http://127.0.0.1:9"],
      env: { GATEWAY_SETTINGS_FILE: file },
    });
    await expect(starting).rejects.toThrow(/GATEWAY_SETTINGS_FILE.*GATEWAY_SETTINGS_FILE/s);
  });
});
