import { Pool } from "undici";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ConfigError } from "../../../services/gateway/config-error.ts";
import { METRICS, PATHS } from "../../../services/gateway/contract.ts";
import { FeatureFlags } from "../../../services/gateway/flags/flags.ts";
import { createLog } from "../../../services/gateway/log.ts";
import { createMetrics } from "../../../services/gateway/metrics.ts";
import { BETA, FLAG, flag, flagFor, flagged, flagsFile } from "./flags.ts";
import { startGatewayProcess } from "./process.ts";
import {
  chatBody,
  EMBEDDER,
  errorOf,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  sha256,
  startReplica,
  startTestGateway,
  testConfig,
} from "./support.ts";

const OTHER_KEY = "sk-other";
const KEYS = [
  { id: "key-1", sha256: sha256(KEY), tenant: "acme" },
  { id: "key-2", sha256: sha256(OTHER_KEY), tenant: "globex" },
];

let replica: FakeReplica;

beforeAll(async () => {
  replica = await startReplica();
});

afterAll(async () => {
  await replica.close();
});

async function start(definition: object, env: Record<string, string> = {}): Promise<string> {
  const flags = await flagged(replica.url, { [FLAG]: definition });
  const keys = { GATEWAY_KEYS: JSON.stringify(KEYS) };
  const gateway = await startTestGateway({ replicas: [replica.url], env: { ...flags, ...keys, ...env } });
  onTestFinished(gateway.close);
  return gateway.url;
}

interface Caller {
  readonly user?: string;
  readonly key?: string;
}

function headersOf({ user, key = KEY }: Caller): Record<string, string> {
  return { authorization: `Bearer ${key}`, ...(user === undefined ? {} : { "x-user-id": user }) };
}

const chat = (url: string, caller: Caller = {}, more: object = {}) =>
  post(url, { body: chatBody({ model: BETA, ...more }), headers: headersOf(caller) });

const isOn = async (url: string, caller: Caller = {}) => (await chat(url, caller)).status === 200;

const evaluations = (url: string, variant: string) =>
  metric(url, METRICS.flagEvaluations.name, { flag: FLAG, variant });

describe("a model with a flag", () => {
  test("can be used, is listed and is described, when the flag is on for the user", async () => {
    const url = await start(flagFor("targetingKey", "u-1"));
    const headers = headersOf({ user: "u-1" });
    expect((await chat(url, { user: "u-1" })).status).toBe(200);
    expect((await (await chat(url, { user: "u-1" }, { stream: true })).text()).endsWith("[DONE]\n\n")).toBe(
      true,
    );
    const list = (await (await fetch(url + PATHS.models, { headers })).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toEqual([MODEL, BETA, EMBEDDER]);
    const described = await fetch(`${url}${PATHS.models}/${BETA}`, { headers });
    expect(await described.json()).toMatchObject({ id: BETA });
  });

  test("does not exist anywhere, when the flag is off for the user", async () => {
    const url = await start(flagFor("targetingKey", "u-1"));
    const headers = headersOf({ user: "u-2" });
    const before = replica.received.length;
    const unknown = await errorOf(await chat(url, { user: "u-2" }, { model: "nope" }));
    expect(await errorOf(await chat(url, { user: "u-2" }))).toEqual(unknown);
    expect(unknown).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
    const list = (await (await fetch(url + PATHS.models, { headers })).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toEqual([MODEL, EMBEDDER]);
    const described = await fetch(`${url}${PATHS.models}/${BETA}`, { headers });
    expect(await errorOf(described)).toMatchObject({ status: 404, code: "model_not_found" });
    expect(replica.received).toHaveLength(before);
    expect((await post(url, { headers })).status).toBe(200);
  });

  test("is asked for once for each request and counted by variant; other models are not", async () => {
    const url = await start(flagFor("targetingKey", "u-1"));
    await chat(url, { user: "u-1" });
    await chat(url, { user: "u-2" });
    await chat(url, { user: "u-3" });
    await post(url);
    expect([await evaluations(url, "on"), await evaluations(url, "off")]).toEqual([1, 2]);
  });
});

describe("the user that a flag is evaluated for", () => {
  test.each([
    ["no x-user-id", undefined],
    ["an empty one", ""],
    ["one that is too long", "x".repeat(257)],
  ])("is the API key's id, with %s", async (_, user) => {
    const url = await start(flagFor("targetingKey", "key-1"));
    const caller = user === undefined ? {} : { user };
    expect(await isOn(url, caller)).toBe(true);
    expect(await isOn(url, { ...caller, key: OTHER_KEY })).toBe(false);
  });

  test("is the x-user-id up to 256 characters", async () => {
    const user = "x".repeat(256);
    const url = await start(flagFor("targetingKey", user));
    expect([await isOn(url, { user }), await isOn(url)]).toEqual([true, false]);
  });

  test.each([
    ["tenant", "acme", true],
    ["tenant", "globex", false],
    ["keyId", "key-1", true],
    ["keyId", "key-2", false],
    ["color", "blue", true],
    ["color", "green", false],
    ["release", "r1", true],
    ["release", "r2", false],
  ])("has %s: a flag for %s is %s", async (name, value, expected) => {
    expect(await isOn(await start(flagFor(name, value)), { user: "u-1" })).toBe(expected);
  });
});

describe("a flag", () => {
  test("that is disabled is off for all", async () => {
    const url = await start(flag({}, { state: "DISABLED", defaultVariant: "on" }));
    expect(await isOn(url)).toBe(false);
    expect(await evaluations(url, "none")).toBe(1);
  });

  test("whose evaluation fails is off, and the gateway goes on", async () => {
    const url = await start(flag({ fractional: [["misspelt", 100]] }, { defaultVariant: "on" }));
    expect(await isOn(url)).toBe(false);
    expect(await evaluations(url, "none")).toBe(1);
    expect((await post(url)).status).toBe(200);
  });

  test("whose evaluation fails is told in the log once, and without the user", async () => {
    const broken = { [FLAG]: flag({ fractional: [["misspelt", 100]] }) };
    const options = { replicas: [replica.url], env: await flagged(replica.url, broken) };
    const { url, log, output, signal, exited } = await startGatewayProcess(options);
    onTestFinished(() => signal("SIGKILL"));
    for (let index = 0; index < 3; index += 1) await chat(url, { user: "violet" });
    signal("SIGTERM");
    await exited;
    const told = log.filter(({ level }) => Number(level) >= 40);
    expect(told).toMatchObject([{ event: "flag_failed", flag: FLAG, errorCode: "GENERAL" }]);
    expect(output.text).not.toContain("violet");
  });

  test("is off for all, once the flags are closed", async () => {
    const config = testConfig({ replicas: [replica.url] });
    const models = { list: [] };
    const tools = { metrics: createMetrics(config, models), log: createLog(config) };
    const definitions = JSON.stringify({ flags: { [FLAG]: flag({}, { defaultVariant: "on" }) } });
    const flags = await FeatureFlags.open(definitions, tools);
    expect(await flags.isOn(FLAG, {})).toBe(true);
    await flags.close();
    expect(await flags.isOn(FLAG, {})).toBe(false);
  });

  test("of one gateway is not another's in the same process, also when one of them ends", async () => {
    const [one, two] = [flagFor("targetingKey", "u-1"), flagFor("targetingKey", "u-2")];
    const first = await start(one);
    const env = await flagged(replica.url, { [FLAG]: two });
    const second = await startTestGateway({ replicas: [replica.url], env });
    expect([await isOn(first, { user: "u-1" }), await isOn(second.url, { user: "u-1" })]).toEqual([
      true,
      false,
    ]);
    expect([await isOn(first, { user: "u-2" }), await isOn(second.url, { user: "u-2" })]).toEqual([
      false,
      true,
    ]);
    await second.close();
    expect(await isOn(first, { user: "u-1" })).toBe(true);
  });

  test("of 25 % is on for 25 % of 10,000 users, the same ones in two processes", {
    timeout: 240_000,
  }, async () => {
    const definition = flag({
      fractional: [
        ["on", 25],
        ["off", 75],
      ],
    });
    const options = { replicas: [replica.url], env: await flagged(replica.url, { [FLAG]: definition }) };
    const usersOf = async () => {
      const gateway = await startGatewayProcess({
        ...options,
        env: { ...options.env, GATEWAY_LOG_LEVEL: "info" },
      });
      onTestFinished(() => gateway.signal("SIGKILL"));
      const pool = new Pool(gateway.url, { connections: 8 });
      const path = `${PATHS.models}/${BETA}`;
      const statuses = Array.from({ length: 10_000 }, async (_, index) => {
        const headers = headersOf({ user: `user-${index}` });
        const { statusCode, body } = await pool.request({ method: "GET", path, headers });
        await body.dump();
        return statusCode;
      });
      const on = (await Promise.all(statuses)).map((status) => status === 200);
      await pool.close();
      return on;
    };
    const [one, two] = [await usersOf(), await usersOf()];
    const share = one.filter(Boolean).length / one.length;
    expect(share).toBeGreaterThan(0.23);
    expect(share).toBeLessThan(0.27);
    expect(two).toEqual(one);
  });
});

describe("flags that cannot be used", () => {
  async function problemsOf(env: Record<string, string>) {
    try {
      testConfig({ replicas: [replica.url], env });
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
    throw new Error("the configuration was accepted");
  }

  test("are refused with every problem at once, beside those of other settings", async () => {
    const replicas = [{ url: replica.url }];
    const GATEWAY_MODELS = JSON.stringify(
      ["missing", "text", "sound", "wrong"].map((key) => ({ name: key, task: "chat", replicas, flag: key })),
    );
    const flags = {
      sound: flag({}),
      text: { state: "ENABLED", variants: { on: "yes", off: "no" }, defaultVariant: "off" },
      wrong: flag({}, { state: "ON" }),
      worse: flag({ unknown: [1] }),
      worst: flag({}, { defaultVariant: "nope" }),
    };
    const GATEWAY_FLAGS_FILE = await flagsFile({ flags });
    const problems = await problemsOf({ GATEWAY_MODELS, GATEWAY_FLAGS_FILE, GATEWAY_PORT: "x" });
    expect(problems.map(({ field }) => field)).toEqual([
      "GATEWAY_PORT",
      "GATEWAY_FLAGS_FILE.flags.wrong",
      "GATEWAY_FLAGS_FILE.flags.worse",
      "GATEWAY_FLAGS_FILE.flags.worst",
      "GATEWAY_MODELS[0].flag",
      "GATEWAY_MODELS[1].flag",
    ]);
    expect(problems.slice(-2).map(({ problem }) => problem)).toEqual([
      "names a flag that is not defined",
      "names a flag that is not boolean",
    ]);
    for (const { problem, remedy } of problems) expect([problem, remedy]).not.toContain("");
  });

  test.each([
    ["no JSON", "{"],
    ["no flags", "{}"],
    ["a list of flags", { flags: [] }],
    ["null", "null"],
    ["metadata that is no object", { flags: {}, metadata: 7 }],
  ])("are refused, when the file holds %s", async (_, content) => {
    const problems = await problemsOf({ GATEWAY_FLAGS_FILE: await flagsFile(content) });
    expect(problems.map(({ field }) => field)).toEqual(["GATEWAY_FLAGS_FILE"]);
  });

  test("are refused, when there is no such file or none is named", async () => {
    const { GATEWAY_MODELS = "" } = await flagged(replica.url, {});
    const fields = async (env: Record<string, string>) => (await problemsOf(env)).map(({ field }) => field);
    expect(await fields({ GATEWAY_FLAGS_FILE: "/nonexistent/flags.json", GATEWAY_MODELS })).toEqual([
      "GATEWAY_FLAGS_FILE",
    ]);
    expect(await fields({ GATEWAY_MODELS })).toEqual(["GATEWAY_MODELS[2].flag"]);
  });
});
