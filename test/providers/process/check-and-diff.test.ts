import { runtime } from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { portPlaceholder } from "../../../providers/process/placeholders.ts";
import { PlatformProvider } from "../../../providers/provider.ts";
import { type Properties, secret } from "../../../providers/wire.ts";
import { urnOf } from "../support.ts";

const UNKNOWN = runtime.unknownValue;
const provider = new PlatformProvider();
const urn = urnOf("platform:process:Process", "web");

const inputs: Properties = {
  command: ["node", "main.ts"],
  environment: { TOKEN: secret("s3cret"), MODE: "a" },
  ports: { PORT: 0, ADMIN: 9000 },
  healthUrl: `http://127.0.0.1:${portPlaceholder("PORT")}/health`,
  logFile: "/state/logs/web.log",
  pidDir: "/state/pids",
};

async function failures(changes: Properties): Promise<Record<string, string>> {
  const result = await provider.check(urn, {}, { ...inputs, ...changes });
  return Object.fromEntries(result.failures?.map(({ property, reason }) => [property, reason]) ?? []);
}

async function checked(changes: Properties = {}): Promise<Properties> {
  return (await provider.check(urn, {}, { ...inputs, ...changes })).inputs;
}

describe("check of a process", () => {
  test("check, with good arguments, then defaults are filled in and secrets stay marked", async () => {
    expect(await failures({})).toEqual({});
    expect(await checked()).toEqual({ ...inputs, drainSeconds: 10, startSeconds: 60 });
  });

  test("check, with many faults, then each is named at once by its path and no value is shown", async () => {
    const found = await failures({
      command: [],
      environment: { "BAD NAME": "x", TOKEN: secret(42), NUL: secret("hidden\0value"), ADMIN: "1" },
      ports: { PORT: 70_000, ADMIN: 1.5, "BAD-PORT": 1 },
      healthUrl: `ftp://127.0.0.1:${portPlaceholder("MISSING")}/`,
      logFile: "logs/web.log",
      drainSeconds: -1,
      startSeconds: "long",
      cwd: "here",
      trigger: { source: 1 },
      pidDir: 3,
      restart: true,
    });
    expect(Object.keys(found).sort()).toEqual(
      [
        "command",
        'environment["BAD NAME"]',
        "environment.ADMIN",
        "environment.NUL",
        "environment.TOKEN",
        'ports["BAD-PORT"]',
        "ports.ADMIN",
        "ports.PORT",
        "healthUrl",
        "logFile",
        "drainSeconds",
        "startSeconds",
        "cwd",
        "trigger.source",
        "pidDir",
        "restart",
      ].sort(),
    );
    expect(found.healthUrl).toContain("MISSING");
    expect(found.restart).toContain("remove it");
    expect(JSON.stringify(found)).not.toContain("hidden");
  });

  test("check, without required arguments, then each is named", async () => {
    const result = await provider.check(urn, {}, {});
    expect(result.failures?.map(({ property }) => property).sort()).toEqual(["command", "logFile", "pidDir"]);
  });

  test.each([
    ["ftp://127.0.0.1/", "must be http://"],
    ["tcp://127.0.0.1", "must be http://"],
    ["127.0.0.1:80", "is no URL"],
    ["not a url", "is no URL"],
  ])("check, with the health URL %s, then it is refused", async (healthUrl, reason) => {
    expect((await failures({ healthUrl })).healthUrl).toContain(reason);
  });

  test("check, with values not known yet, then they pass and other faults are still found", async () => {
    const unknowns = {
      command: UNKNOWN,
      environment: { TOKEN: secret(UNKNOWN), URL: UNKNOWN },
      ports: { PORT: UNKNOWN },
      logFile: UNKNOWN,
      healthUrl: UNKNOWN,
    };
    expect(await failures(unknowns)).toEqual({});
    expect(await failures({ ports: UNKNOWN })).toEqual({});
    expect(Object.keys(await failures({ ...unknowns, drainSeconds: -1 }))).toEqual(["drainSeconds"]);
  });

  test("check, with output values from the engine, then they become plain and secret values", async () => {
    const output = (more: Properties): Properties => ({
      [runtime.specialSigKey]: runtime.specialOutputValueSig,
      ...more,
    });
    const environment = {
      PLAIN: output({ value: "a", dependencies: ["urn"] }),
      HIDDEN: output({ value: "b", secret: true }),
      LATER: output({ secret: true }),
    };
    expect((await checked({ environment })).environment).toEqual({
      PLAIN: "a",
      HIDDEN: secret("b"),
      LATER: secret(UNKNOWN),
    });
  });
});

describe("diff of a process", () => {
  const identity = { pid: 1, identity: "boot 1", startedAt: "2026-01-01T00:00:00.000Z" };

  async function diff(changes: Properties, stateChanges: Properties = {}) {
    const olds = { ...(await checked()), ...identity, ports: { PORT: 21_000, ADMIN: 9000 }, ...stateChanges };
    return await provider.diff("id", urn, olds, await checked(changes));
  }

  test("diff, with the same arguments, then a port that was picked is no change", async () => {
    expect(await diff({})).toEqual({ changes: false });
  });

  test.each<[string, Properties]>([
    ["a secret's value", { environment: { TOKEN: secret("other"), MODE: "a" } }],
    ["a value that becomes secret", { environment: { TOKEN: secret("s3cret"), MODE: secret("a") } }],
    ["a variable less", { environment: { TOKEN: secret("s3cret") } }],
    ["the command", { command: ["node", "other.ts"] }],
    ["a fixed port", { ports: { PORT: 0, ADMIN: 9001 } }],
    ["a port more", { ports: { PORT: 0, ADMIN: 9000, THIRD: 0 } }],
    ["a port less", { ports: { PORT: 0 } }],
    ["a trigger", { trigger: { source: "abc" } }],
    ["the drain time", { drainSeconds: 11 }],
    ["no health URL", { healthUrl: null }],
    ["a port not known yet", { ports: { PORT: UNKNOWN } }],
    ["a value not known yet", { environment: { TOKEN: UNKNOWN } }],
  ])("diff, with %s changed, then it is updated in place", async (_what, changes) => {
    const { changes: isChanged, replaces = [] } = await diff(changes);
    expect({ isChanged, replaces }).toEqual({ isChanged: true, replaces: [] });
  });

  test("diff, when the picked port is now asked for, then nothing changes", async () => {
    expect(await diff({ ports: { PORT: 21_000, ADMIN: 9000 } })).toEqual({ changes: false });
  });

  test("diff, with another pid folder, then it is replaced, the old one first", async () => {
    expect(await diff({ pidDir: "/elsewhere" })).toEqual({
      changes: true,
      replaces: ["pidDir"],
      deleteBeforeReplace: true,
    });
  });

  test("diff, when a failed update left nothing running, then it is updated", async () => {
    expect(await diff({}, { pid: 0 })).toEqual({ changes: true });
  });
});
