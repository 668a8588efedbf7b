import { describe, expect, test } from "vitest";
import { readConfig } from "../../../services/gateway/config.ts";
import { ConfigError } from "../../../services/gateway/config-error.ts";
import { env, type Start } from "./routing-support.ts";
import { EMBEDDER } from "./support.ts";

describe("settings that make no sense together", () => {
  function problemsOf(options: Start): string[] {
    try {
      readConfig(env(options));
    } catch (error) {
      if (error instanceof ConfigError)
        return error.problems.map(
          ({ field, problem }) => `${field.replace("GATEWAY_SETTINGS_FILE.", "")} ${problem}`,
        );
      throw error;
    }
    return [];
  }

  test.each<readonly [string, Start, readonly string[]]>([
    ["an alias without a model", { routing: { aliases: { a: "x" } } }, ["routing.aliases.a is no model"]],
    [
      "aliases in a circle",
      { routing: { aliases: { a: "b", b: "c", c: "a" } } },
      [
        "routing.aliases.a leads back to itself",
        "routing.aliases.b leads back to itself",
        "routing.aliases.c leads back to itself",
      ],
    ],
    [
      "an alias with a model's name",
      { routing: { aliases: { small: "large" } } },
      ["routing.aliases.small has the name of a model"],
    ],
    [
      "one name for two entries",
      {
        routing: {
          aliases: { a: "small" },
          tasks: { a: { simple: "small", complex: "small", code: "small" } },
        },
      },
      ["routing.tasks.a has the name of another entry"],
    ],
    [
      "models of two tasks",
      {
        routing: {
          aliases: {
            a: [
              { model: "small", weight: 1 },
              { model: EMBEDDER, weight: 1 },
            ],
          },
        },
      },
      ["routing.aliases.a leads to models of different tasks"],
    ],
    [
      "a fallback without a model",
      { models: { small: { fallbacks: ["x"] } } },
      ["models.small.fallbacks[0] is no model"],
    ],
    [
      "fallbacks in a circle",
      { models: { small: { fallbacks: ["coder"] }, coder: { fallbacks: ["small"] } } },
      [
        "models.small.fallbacks lead back to the model itself",
        "models.coder.fallbacks lead back to the model itself",
      ],
    ],
    [
      "a fallback of another task",
      { models: { small: { fallbacks: [EMBEDDER] } } },
      ["models.small.fallbacks[0] is a model of another task"],
    ],
    [
      "a model of nobody",
      { models: { x: {} } },
      ["models.x is neither one of GATEWAY_MODELS nor has it a provider"],
    ],
    [
      "a provider of our own model",
      { models: { small: { provider: "theirs" } } },
      ["models.small.provider is given to one of GATEWAY_MODELS"],
    ],
    [
      "a name that no header can carry",
      { models: { small: { fallbacks: ["模型"] } } },
      ["models.small.fallbacks[0] holds characters that no header can"],
    ],
    [
      "an unknown provider",
      { models: { x: { provider: "nobody" } } },
      ["models.x.provider is none of the providers"],
    ],
    [
      "an unknown credential",
      { more: { providers: { theirs: { kind: "openai", baseUrl: "https://x.test", credential: "lost" } } } },
      ["providers.theirs.credential names no credential"],
    ],
    [
      "a hybrid the wrong way round",
      { routing: { hybrid: { h: { local: "outside", external: "small" } } } },
      [
        "routing.hybrid.h.local leads to a provider",
        "routing.hybrid.h.external leads to one of GATEWAY_MODELS",
      ],
    ],
    [
      "a hybrid whose load nobody knows",
      { routing: { hybrid: { h: { local: "small", external: "outside" } } } },
      ["models.small.maxConcurrency is missing"],
    ],
    [
      "a secret in an address",
      { more: { providers: { theirs: { kind: "openai", baseUrl: "https://u:p@x.test" } } } },
      ["providers.theirs.baseUrl carries credentials"],
    ],
    [
      "Anthropic without a key",
      { more: { providers: { theirs: { kind: "anthropic", baseUrl: "https://x.test" } } } },
      ["providers.theirs.credential is missing"],
    ],
    [
      "a wrong figure",
      { more: { resilience: { retry: { tries: 0 } } } },
      ["resilience.retry.tries is out of bounds"],
    ],
  ])("%s is refused", (_, options, expected) => {
    expect(problemsOf(options)).toEqual(expected);
  });

  test("credentials that are no map of secrets are refused without showing them", () => {
    const wrong = { ...env(), GATEWAY_CREDENTIALS: '{"paid": "geheim mit Leerzeichen"}' };
    expect(() => readConfig(wrong)).toThrow(/GATEWAY_CREDENTIALS.paid/);
    expect(() => readConfig(wrong)).not.toThrow(/geheim/);
  });
});
