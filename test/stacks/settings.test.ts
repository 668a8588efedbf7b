import path from "node:path";
import { describe, expect, test } from "vitest";
import { readStackConfig } from "../../automation/embedded/index.ts";
import { planOf } from "../../release/contract/strategy.ts";
import { parseSettings, SettingsError, type TrafficSettings } from "../../stacks/settings.ts";

const STACKS = path.resolve(import.meta.dirname, "../../stacks");

const withPrefix = (values: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      `llm-platform:${key}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );

const COLOR = { kind: "color", target: "local", environment: "local", color: "blue" };
const ENVIRONMENT = { kind: "environment", target: "local", models: [{ name: "m" }] };
const TRAFFIC = { kind: "traffic", target: "local", environment: "local" };
const FLAG = { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: "on" };

const parse = (values: Record<string, unknown>) => parseSettings("demo", withPrefix(values));

function problemsOf(values: Record<string, unknown>): string {
  try {
    parse(values);
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    return (error as Error).message;
  }
  throw new Error("the settings were accepted");
}

describe("the shipped stacks", () => {
  test.each(["local", "local-blue", "local-green", "local-traffic"])(
    "%s has settings that are accepted",
    async (stack) => {
      const { config } = await readStackConfig(path.join(STACKS, `Pulumi.${stack}.yaml`), "llm-platform", "");
      expect(parseSettings(stack, config).target).toBe("local");
    },
  );
});

describe("settings", () => {
  test("get their defaults where they are left out", () => {
    expect(parse(ENVIRONMENT)).toMatchObject({
      router: { address: "127.0.0.1", port: 8080 },
      models: [{ name: "m", task: "chat", replicas: 1 }],
      flags: {},
    });
    expect(parse(TRAFFIC)).toMatchObject({
      rollout: { strategy: "blue-green", secondsPerHour: 3600, loadPerSecond: 0, warmSeconds: 3600 },
    });
    expect(parse(COLOR)).toEqual(COLOR);
  });

  test("take a model that runs already by its URLs", () => {
    const models = [{ name: "Qwen/Qwen3-8B", urls: ["http://127.0.0.1:8000"], apiKeyVariable: "PATH" }];
    expect(parse({ ...ENVIRONMENT, models })).toMatchObject({ models });
  });

  test("take a feature flag in flagd's format, and a model behind it", () => {
    const targeting = {
      fractional: [
        ["on", 25],
        ["off", 75],
      ],
    };
    const values = {
      ...ENVIRONMENT,
      models: [{ name: "m", flag: "preview" }],
      flags: { preview: { ...FLAG, targeting } },
    };
    expect(parse(values)).toMatchObject({ flags: { preview: { targeting } } });
  });

  test("keep the gateway's own settings as they are written, null for no bound included", () => {
    const gateway = { tenants: { acme: { limits: { requestsPerMinute: null } } } };
    expect(parse({ ...ENVIRONMENT, gateway })).toMatchObject({ gateway });
  });

  test("refuse what the gateway would refuse only once it starts: names that lead nowhere", () => {
    const gateway = {
      routing: { aliases: { fast: "no-such-model" } },
      providers: { theirs: { kind: "openai", baseUrl: "https://example.com", credential: "lost" } },
    };
    const problems = problemsOf({ ...ENVIRONMENT, gateway });
    expect(problems).toMatch(/gateway\.routing\.aliases\.fast: /);
    expect(problems).toMatch(/gateway\.providers\.theirs\.credential: names no credential/);
  });

  test("refuse what the gateway would refuse, and credentials that nobody has set, all at once", () => {
    const gateway = { tenants: { acme: { tier: "iron" } }, limit: {} };
    const problems = problemsOf({ ...ENVIRONMENT, gateway, credentials: { openai: "NO_SUCH_VARIABLE" } });
    expect(problems).toMatch(/gateway\.tenants\.acme\.tier: is unknown/);
    expect(problems).toMatch(/gateway\.limit: is no known setting/);
    expect(problems).toMatch(
      /credentials\.openai: names the environment variable NO_SUCH_VARIABLE, which is not set/,
    );
  });

  test("take a plan in part: what it leaves out stays as the requirements have it", () => {
    const { rollout } = parse({
      ...TRAFFIC,
      rollout: { plans: { canary: { minimumRequests: 7 } } },
    }) as TrafficSettings;
    const plan = planOf(rollout, "canary");
    expect(plan).toMatchObject({ strategy: "canary", minimumRequests: 7, confidence: 0.95 });
    expect(plan.stages.map(({ weight }) => weight)).toEqual([5, 25, 50, 100]);
  });

  test("ignore what belongs to other packages", () => {
    const config = { ...withPrefix(ENVIRONMENT), "aws:region": "ap-east-2" };
    expect(parseSettings("demo", config).kind).toBe("environment");
  });

  test("under a mistyped prefix are named, not passed over", () => {
    const config = { ...withPrefix(ENVIRONMENT), "llm-plattform:router": "{}" };
    expect(() => parseSettings("demo", config)).toThrow(
      "llm-plattform:router: belongs to nothing that is known; did you mean llm-platform:router?",
    );
  });

  test("that are wrong are named all at once, with what to do", () => {
    const message = problemsOf({
      kind: "color",
      target: "moon",
      environment: "Local!",
      color: "red",
      typo: true,
    });
    const others = problemsOf({
      ...ENVIRONMENT,
      models: [
        { name: "", replicas: 0, extra: 1 },
        { name: "e", task: "sing", urls: ["ftp://x"] },
      ],
    });
    for (const line of [
      /target: is unknown; this version runs on "local"/,
      /environment: is no name; use lower-case letters/,
      /color: is no color; use "blue" or "green"/,
      /models\.0\.name: is empty; name the model/,
      /models\.0\.replicas: is below 1; give processes from 1 to 16/,
      /models\.0\.extra: is no known setting/,
      /models\.1\.task: is unknown; use "chat" or "embeddings"/,
      /models\.1\.urls\.0: is no http\(s\) URL/,
      /typo: is no known setting; remove it or correct its spelling/,
    ]) {
      expect(message + others).toMatch(line);
    }
  });

  test.each([
    ["an unknown kind", { kind: "planet" }, /kind: is missing or unknown/],
    [
      "no chat model",
      { ...ENVIRONMENT, models: [{ name: "e", task: "embeddings" }] },
      /models: has no chat model/,
    ],
    ["a model twice", { ...ENVIRONMENT, models: [{ name: "m" }, { name: "m" }] }, /models: has two models/],
    [
      "names that are alike",
      { ...ENVIRONMENT, models: [{ name: "a/b" }, { name: "A-b" }] },
      /models: has two models/,
    ],
    [
      "a token's variable that is not set",
      { ...ENVIRONMENT, models: [{ name: "m", urls: ["http://h"], apiKeyVariable: "NOT_SET_ANYWHERE" }] },
      /models\.0\.apiKeyVariable: names the environment variable NOT_SET_ANYWHERE, which is not set/,
    ],
    ["models that are no list", { ...ENVIRONMENT, models: "m" }, /models: is no list/],
    ["a color's own models", { ...COLOR, models: [{ name: "m" }] }, /models: is no known setting/],
    ["a traffic's own weights", { ...TRAFFIC, weights: { blue: 50 } }, /weights: is no known setting/],
    [
      "a model behind a flag that is not there",
      { ...ENVIRONMENT, models: [{ name: "m", flag: "preview" }] },
      /models\.0\.flag: names a flag that does not exist; add it to flags/,
    ],
    [
      "a model behind a flag that is no switch",
      {
        ...ENVIRONMENT,
        models: [{ name: "m", flag: "tone" }],
        flags: { tone: { state: "ENABLED", variants: { kind: "kind", dry: "dry" }, defaultVariant: "dry" } },
      },
      /models\.0\.flag: names a flag that is not true or false/,
    ],
    [
      "a flag whose default is no variant",
      { ...ENVIRONMENT, flags: { preview: { ...FLAG, defaultVariant: "maybe" } } },
      /flags\.preview\.defaultVariant: is no name of a variant/,
    ],
    ["an unknown strategy", { ...TRAFFIC, rollout: { strategy: "yolo" } }, /rollout\.strategy: is unknown/],
    [
      "stages that do not end with all traffic",
      { ...TRAFFIC, rollout: { plans: { canary: { stages: [{ weight: 50, hours: 1, gates: {} }] } } } },
      /rollout\.plans\.canary\.stages: does not end with all traffic/,
    ],
    [
      "stages that do not rise",
      {
        ...TRAFFIC,
        rollout: {
          plans: { canary: { stages: [50, 20, 100].map((weight) => ({ weight, hours: 1, gates: {} })) } },
        },
      },
      /rollout\.plans\.canary\.stages: has a weight that does not rise/,
    ],
    [
      "a confidence that proves nothing",
      { ...TRAFFIC, rollout: { plans: { canary: { confidence: 0.5 } } } },
      /rollout\.plans\.canary\.confidence: proves nothing/,
    ],
    ["a port out of range", { ...ENVIRONMENT, router: { port: 70000 } }, /router\.port: is above/],
  ])("refuse %s", (_what, values, expected) => {
    expect(problemsOf(values)).toMatch(expected);
  });

  test("never show a value, which may be a secret", () => {
    const message = problemsOf({
      ...ENVIRONMENT,
      models: [{ name: "m", urls: ["hunter2"], apiKeyVariable: "hunter2 hunter2" }],
    });
    expect(message).not.toContain("hunter2:");
    expect(message).not.toContain('"hunter2"');
  });
});
