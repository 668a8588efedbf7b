import path from "node:path";
import { describe, expect, test } from "vitest";
import { readStackConfig } from "../../automation/embedded/index.ts";
import { parseSettings, SettingsError } from "../../stacks/settings.ts";

const STACKS = path.resolve(import.meta.dirname, "../../stacks");

const withPrefix = (values: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      `llm-platform:${key}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );

const COLOR = {
  kind: "color",
  target: "local",
  environment: "local",
  color: "blue",
  models: [{ name: "m" }],
};

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
  test.each(["local", "local-blue", "local-traffic"])("%s has settings that are accepted", async (stack) => {
    const { config } = await readStackConfig(path.join(STACKS, `Pulumi.${stack}.yaml`), "llm-platform", "");
    expect(parseSettings(stack, config).target).toBe("local");
  });
});

describe("settings", () => {
  test("get their defaults where they are left out", () => {
    expect(parse({ kind: "environment", target: "local" })).toMatchObject({
      router: { address: "127.0.0.1", port: 8080 },
    });
    expect(parse({ kind: "traffic", target: "local", environment: "local" })).toMatchObject({
      weights: { blue: 100, green: 0 },
    });
    expect(parse(COLOR)).toMatchObject({ models: [{ name: "m", task: "chat", replicas: 1 }] });
  });

  test("take a model that runs already by its URLs", () => {
    const models = [{ name: "Qwen/Qwen3-8B", urls: ["http://127.0.0.1:8000"], apiKeyVariable: "PATH" }];
    expect(parse({ ...COLOR, models })).toMatchObject({ models });
  });

  test("take any text as a release's label, also one that reads like a number", () => {
    expect(parse({ ...COLOR, releaseLabel: "42" })).toMatchObject({ releaseLabel: "42" });
  });

  test("ignore what belongs to other packages", () => {
    const config = { ...withPrefix({ kind: "environment", target: "local" }), "aws:region": "ap-east-2" };
    expect(parseSettings("demo", config).kind).toBe("environment");
  });

  test("under a mistyped prefix are named, not passed over", () => {
    const config = { ...withPrefix({ kind: "environment", target: "local" }), "llm-plattform:router": "{}" };
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
      models: [
        { name: "", replicas: 0, extra: 1 },
        { name: "e", task: "sing", urls: ["ftp://x"] },
      ],
      typo: true,
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
      expect(message).toMatch(line);
    }
  });

  test.each([
    ["an unknown kind", { kind: "planet" }, /kind: is missing or unknown/],
    ["no chat model", { ...COLOR, models: [{ name: "e", task: "embeddings" }] }, /models: has no chat model/],
    ["a model twice", { ...COLOR, models: [{ name: "m" }, { name: "m" }] }, /models: has two models/],
    [
      "names that are alike",
      { ...COLOR, models: [{ name: "a/b" }, { name: "A-b" }] },
      /models: has two models/,
    ],
    [
      "a token's variable that is not set",
      { ...COLOR, models: [{ name: "m", urls: ["http://h"], apiKeyVariable: "NOT_SET_ANYWHERE" }] },
      /models\.0\.apiKeyVariable: names the environment variable NOT_SET_ANYWHERE, which is not set/,
    ],
    ["models that are no list", { ...COLOR, models: "m" }, /models: is no list/],
    [
      "weights that do not add up",
      { kind: "traffic", target: "local", environment: "local", weights: { blue: 50, green: 40 } },
      /weights: do not add up to 100/,
    ],
    [
      "a port out of range",
      { kind: "environment", target: "local", router: { port: 70000 } },
      /router\.port: is above/,
    ],
  ])("refuse %s", (_what, values, expected) => {
    expect(problemsOf(values)).toMatch(expected);
  });

  test("never show a value, which may be a secret", () => {
    const message = problemsOf({
      ...COLOR,
      models: [{ name: "m", urls: ["hunter2"], apiKeyVariable: "hunter2 hunter2" }],
    });
    expect(message).not.toContain("hunter2:");
    expect(message).not.toContain('"hunter2"');
  });
});
