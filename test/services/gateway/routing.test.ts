import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { readConfig } from "../../../services/gateway/config.ts";
import { ConfigError } from "../../../services/gateway/config-error.ts";
import { METRICS } from "../../../services/gateway/contract.ts";
import { type RunningGateway, startGateway } from "../../../services/gateway/server.ts";
import {
  answerChat,
  beginStream,
  chatBody,
  EMBEDDER,
  environment,
  errorOf,
  type FakeReplica,
  KEY,
  metric,
  payloads,
  post,
  sendJson,
  settingsFile,
  sha256,
  startReplica,
  until,
} from "./support.ts";

const NAMES = ["small", "large", "coder", "outside"] as const;
type Name = (typeof NAMES)[number];

let backends: Record<Name, FakeReplica>;
let gateway: RunningGateway | undefined;

beforeEach(async () => {
  const started = await Promise.all(NAMES.map(async (name) => [name, await startReplica()] as const));
  backends = Object.fromEntries(started) as Record<Name, FakeReplica>;
});

afterEach(async () => {
  await gateway?.close();
  await Promise.all(Object.values(backends).map((backend) => backend.close()));
});

const UNBOUNDED = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };

interface Start {
  readonly routing?: object;
  readonly models?: Readonly<Record<string, object>>;
  readonly tenant?: object;
  readonly regions?: Partial<Record<Name, string>>;
  readonly key?: object;
  readonly more?: object;
}

/** Three models of our own, and one of a provider that is called "outside" here and "theirs" there. */
function env({ routing = {}, models = {}, tenant = {}, regions = {}, key = {}, more = {} }: Start = {}) {
  const own = NAMES.slice(0, 3).map((name) => ({
    name,
    task: "chat",
    replicas: [{ url: backends[name].url, region: regions[name] }],
  }));
  return {
    ...environment({ replicas: [] }),
    GATEWAY_DRAIN_SECONDS: "0",
    GATEWAY_MODELS: JSON.stringify([
      ...own,
      { name: EMBEDDER, task: "embeddings", replicas: [{ url: backends.small.url }] },
    ]),
    GATEWAY_KEYS: JSON.stringify([{ id: "key-1", sha256: sha256(KEY), tenant: "acme", ...key }]),
    GATEWAY_CREDENTIALS: JSON.stringify({ paid: "sk-provider" }),
    GATEWAY_SETTINGS_FILE: settingsFile({
      tenants: { acme: { limits: UNBOUNDED, ...tenant } },
      providers: {
        theirs: {
          kind: "openai",
          baseUrl: `${backends.outside.url}/v1`,
          credential: "paid",
          region: regions.outside,
        },
      },
      models: {
        large: { maxConcurrency: 10 },
        ...models,
        outside: { provider: "theirs", upstream: "theirs-1", ...models.outside },
      },
      resilience: { retry: { tries: 1 }, breaker: { failures: 1_000 } },
      routing,
      ...more,
    }),
  };
}

async function start(options: Start = {}): Promise<string> {
  gateway = await startGateway(readConfig(env(options)));
  const { url } = gateway;
  await until(async () => (await metric(url, METRICS.replicasHealthy.name, { model: "coder" })) === 1);
  return url;
}

const ask = (
  url: string,
  model: string,
  { content = "Hi", ...rest }: { content?: string; headers?: Record<string, string>; stream?: boolean } = {},
) =>
  post(url, {
    body: chatBody({ model, messages: [{ role: "user", content }], stream: rest.stream === true }),
    ...(rest.headers ? { headers: rest.headers } : {}),
  });

const asked = () => Object.fromEntries(NAMES.map((name) => [name, backends[name].received.length]));
const modelOf = (backend: Name) =>
  JSON.parse(backends[backend].received.at(-1)?.body ?? "{}").model as string;

describe("an alias", () => {
  test("when it names a model, then that answers under its own name", async () => {
    const url = await start({ routing: { aliases: { fast: "small" } } });
    expect((await ask(url, "fast")).status).toBe(200);
    expect(modelOf("small")).toBe("small");
  });

  test("when it is for a provider's model, then the provider hears its own name and the client ours", async () => {
    const url = await start({ routing: { aliases: { best: "outside" } } });
    const body =
      '{"model":"best","messages":[{"role":"user","content":"\\"model\\":\\"best\\""}],"seed":12345678901234567890}';
    const answer = await post(url, { body });
    expect(await answer.json()).toMatchObject({ model: "outside" });
    expect(backends.outside.received[0]?.body).toBe(body.replace('"best"', '"theirs-1"'));
    expect(backends.outside.received[0]?.headers.authorization).toBe("Bearer sk-provider");
    expect(backends.outside.received[0]?.path).toBe("/v1/chat/completions");
  });

  test("when it is weighted, then each model gets its share, also through another alias", async () => {
    const url = await start({
      routing: {
        aliases: {
          mix: [
            { model: "small", weight: 3 },
            { model: "big", weight: 1 },
          ],
          big: "large",
        },
      },
    });
    await Promise.all(Array.from({ length: 200 }, () => ask(url, "mix")));
    const { small = 0, large = 0 } = asked();
    expect(small + large).toBe(200);
    expect(small).toBeGreaterThan(110);
    expect(large).toBeGreaterThan(15);
  });
});

describe("a name whose requests go by their task", () => {
  const TASKS = { routing: { tasks: { auto: { simple: "small", complex: "large", code: "coder" } } } };

  test.each([
    ["small", "Hello"],
    ["large", "Analyse and compare these designs, evaluate the trade-offs and prove it step by step."],
    ["coder", "Please debug this: function f() { return 1 }"],
  ] as const)("%s answers '%s'", async (model, content) => {
    await ask(await start(TASKS), "auto", { content });
    expect(asked()).toMatchObject({ [model]: 1 });
    expect(modelOf(model)).toBe(model);
  });

  test("when the header says what it is, then that holds; a wrong one is refused", async () => {
    const url = await start(TASKS);
    await ask(url, "auto", { headers: { "x-task": "code" } });
    expect(asked().coder).toBe(1);
    const error = await errorOf(await ask(url, "auto", { headers: { "x-task": "poem" } }));
    expect(error).toMatchObject({ status: 400, param: "x-task" });
  });
});

describe("a hybrid name", () => {
  const HYBRID = {
    routing: { hybrid: { smart: { local: "large", external: "outside", complexityAbove: 0.2 } } },
  };
  // So that nothing goes outside for want of room.
  const ROOM = { models: { large: { maxConcurrency: 1_000 } } };
  const HARD = "Analyse, compare and evaluate.";

  test("when work is complex and its tenant gold, then it goes outside", async () => {
    const url = await start({ ...HYBRID, tenant: { tier: "gold" } });
    await ask(url, "smart", { content: HARD });
    expect(asked()).toMatchObject({ large: 0, outside: 1 });
  });

  test("when the request raises its sensitivity, then it stays; lowering it changes nothing", async () => {
    const url = await start({ ...HYBRID, ...ROOM, tenant: { tier: "gold", sensitivity: "medium" } });
    await ask(url, "smart", { content: HARD, headers: { "x-sensitivity": "high" } });
    expect(asked()).toMatchObject({ large: 1, outside: 0 });
    const headers = { "x-sensitivity": "low" };
    await Promise.all(Array.from({ length: 60 }, () => ask(url, "smart", { headers })));
    expect(asked().outside).toBe(0);
    const error = await errorOf(await ask(url, "smart", { headers: { "x-sensitivity": "none" } }));
    expect(error).toMatchObject({ status: 400, param: "x-sensitivity" });
  });

  test("when sensitivity is low, then about a tenth goes outside", async () => {
    const url = await start({ ...HYBRID, ...ROOM, tenant: { sensitivity: "low" } });
    await Promise.all(Array.from({ length: 200 }, () => ask(url, "smart")));
    const { large = 0, outside = 0 } = asked();
    expect(large + outside).toBe(200);
    expect(outside).toBeGreaterThan(2);
    expect(outside).toBeLessThan(50);
  });

  test("when the local replicas are busy, then further requests go outside", async () => {
    const gate = Promise.withResolvers<void>();
    backends.large.behave = async (request, response) => {
      await gate.promise;
      await answerChat(request, response);
    };
    const url = await start(HYBRID);
    const busy = Array.from({ length: 9 }, () => ask(url, "smart"));
    await until(() => asked().large === 9);
    expect((await ask(url, "smart")).status).toBe(200);
    expect(asked()).toMatchObject({ large: 9, outside: 1 });
    gate.resolve();
    await Promise.all(busy);
  });
});

describe("high sensitivity", () => {
  test("when a provider's model is asked for, then it is refused and nothing leaves", async () => {
    const url = await start({ tenant: { sensitivity: "high" } });
    const error = await errorOf(await ask(url, "outside"));
    expect(error).toMatchObject({ status: 403, type: "permission_error" });
    expect(asked().outside).toBe(0);
  });

  test("when the model's fallback is a provider's, then that is not asked", async () => {
    backends.small.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({
      tenant: { sensitivity: "high" },
      models: { small: { fallbacks: ["outside", "large"] } },
    });
    const answer = await ask(url, "small");
    expect(answer.headers.get("x-model-fallback")).toBe("large");
    expect(asked().outside).toBe(0);
  });
});

describe("fallbacks", () => {
  const CHAIN = { small: { fallbacks: ["large"] }, large: { fallbacks: ["outside"], maxConcurrency: 10 } };

  test("when models fail, then the next ones are asked in turn, and header, metric and answer say who answered", async () => {
    for (const name of ["small", "large"] as const)
      backends[name].behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({ models: CHAIN });
    const answer = await ask(url, "small");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-model-fallback")).toBe("outside");
    expect(await answer.json()).toMatchObject({ model: "outside" });
    expect(asked()).toMatchObject({ small: 1, large: 1, outside: 1 });
    expect(await metric(url, METRICS.fallbacks.name, { model: "small", to: "outside" })).toBe(1);
  });

  test("when a stream fails before its first event, then a fallback streams", async () => {
    backends.small.behave = (_, response) => {
      beginStream(response);
      response.end();
    };
    const url = await start({ models: CHAIN });
    const answer = await ask(url, "small", { stream: true });
    expect(answer.headers.get("x-model-fallback")).toBe("large");
    expect(payloads(await answer.text()).at(-1)).toBe("[DONE]");
  });

  test("when the request is at fault, then no other model is asked", async () => {
    backends.small.behave = (_, response) => sendJson(response, {}, 400);
    const url = await start({ models: CHAIN });
    expect((await ask(url, "small")).status).toBe(400);
    expect(asked()).toMatchObject({ small: 1, large: 0, outside: 0 });
  });

  test("when the key may not use a fallback, then that is left out", async () => {
    for (const name of ["small", "large"] as const)
      backends[name].behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({ models: CHAIN, key: { models: ["small", "large"] } });
    expect((await ask(url, "small")).status).toBe(500);
    expect(asked()).toMatchObject({ small: 1, large: 1, outside: 0 });
  });

  test("when the breaker is open, then the fallback is asked without a try", async () => {
    backends.small.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({
      models: CHAIN,
      more: { resilience: { retry: { tries: 1 }, breaker: { failures: 1 } } },
    });
    for (let index = 0; index < 3; index += 1) expect((await ask(url, "small")).status).toBe(200);
    expect(asked()).toMatchObject({ small: 1, large: 3 });
  });
});

describe("a degraded message", () => {
  const message = "We are working on it.";
  const broken = (as: string) => {
    backends.small.behave = (_, response) => sendJson(response, {}, 500);
    return start({ models: { small: { degraded: { message, as } } } });
  };

  test("as an error, when nothing can answer, then it is a 503 with that message", async () => {
    const answer = await ask(await broken("error"), "small");
    expect(answer.headers.get("x-degraded")).toBeNull();
    expect(await errorOf(answer)).toMatchObject({ status: 503, code: "model_overloaded", message });
  });

  test("as an answer, when nothing can answer, then it is one, marked, and counted as a failure", async () => {
    const url = await broken("answer");
    const answer = await ask(url, "small");
    expect(answer.headers.get("x-degraded")).toBe("true");
    const content = { role: "assistant", content: message };
    expect(await answer.json()).toMatchObject({ model: "small", choices: [{ message: content }] });
    await until(
      async () => (await metric(url, METRICS.failures.name, { model: "small", reason: "status" })) === 1,
    );
    expect(await metric(url, METRICS.tokens.name, { model: "small", type: "completion" })).toBe(0);
  });

  test("as an answer to a stream, then it is a whole stream", async () => {
    const answer = await ask(await broken("answer"), "small", { stream: true });
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    const events = payloads(await answer.text());
    expect(events[0]).toMatchObject({ choices: [{ delta: { content: message } }] });
    expect(events.at(-1)).toBe("[DONE]");
  });

  test("as an answer, when the request is at fault, then that is told", async () => {
    const url = await broken("answer");
    backends.small.behave = (_, response) => sendJson(response, {}, 400);
    expect((await ask(url, "small")).status).toBe(400);
  });
});

describe("residency", () => {
  const regions = { small: "us", large: "taiwan", outside: "asia-pacific" };

  test("when no backend is in an allowed region, then 403, without naming any", async () => {
    const url = await start({ regions, tenant: { region: "taiwan" } });
    for (const model of ["small", "coder"]) {
      const error = await errorOf(await ask(url, model));
      expect(error).toMatchObject({ status: 403, type: "permission_error", param: "model" });
      expect(error.message).not.toMatch(/\bus\b|taiwan|asia/);
    }
    expect(asked()).toMatchObject({ small: 0, coder: 0 });
  });

  test("when only a fallback is in one, then that is asked; retries and further fallbacks stay inside, too", async () => {
    backends.large.behave = (_, response) => sendJson(response, {}, 500);
    const url = await start({
      regions,
      tenant: { region: "taiwan" },
      models: {
        small: { fallbacks: ["large"] },
        large: { maxConcurrency: 1, fallbacks: ["coder", "outside"] },
      },
    });
    expect((await ask(url, "small")).status).toBe(200);
    expect(asked()).toEqual({ small: 0, large: 1, coder: 0, outside: 1 });
  });

  test("when the hybrid rule says outside but that is elsewhere, then it stays", async () => {
    const url = await start({
      regions: { ...regions, outside: "us" },
      tenant: { region: "taiwan", tier: "gold" },
      routing: { hybrid: { smart: { local: "large", external: "outside", complexityAbove: 0 } } },
    });
    expect((await ask(url, "smart")).status).toBe(200);
    expect(asked()).toMatchObject({ large: 1, outside: 0 });
  });

  test("when an alias leads to several, then only those inside are asked", async () => {
    const aliases = {
      mix: [
        { model: "small", weight: 100 },
        { model: "large", weight: 1 },
      ],
    };
    const url = await start({ regions, tenant: { region: "taiwan" }, routing: { aliases } });
    for (let index = 0; index < 10; index += 1) expect((await ask(url, "mix")).status).toBe(200);
    expect(asked()).toMatchObject({ small: 0, large: 10 });
  });
});

describe("/v1/models", () => {
  test("names models, providers' models and what routing adds; each can be described", async () => {
    const url = await start({
      routing: {
        aliases: { fast: "small" },
        tasks: { auto: { simple: "small", complex: "large", code: "coder" } },
        hybrid: { smart: { local: "large", external: "outside" } },
      },
    });
    const headers = { authorization: `Bearer ${KEY}` };
    const list = (await (await fetch(`${url}/v1/models`, { headers })).json()) as { data: { id: string }[] };
    const names = list.data.map(({ id }) => id);
    expect(names).toEqual(["small", "large", "coder", "outside", EMBEDDER, "fast", "auto", "smart"]);
    for (const name of names) expect((await fetch(`${url}/v1/models/${name}`, { headers })).status).toBe(200);
    expect(await errorOf(await ask(url, EMBEDDER))).toMatchObject({ status: 400, param: "model" });
  });
});

test("affinity, when prompts begin alike, then they go to one replica until it has too much to do", async () => {
  const more = await startReplica();
  onTestFinished(() => more.close());
  const gate = Promise.withResolvers<void>();
  const replicas = [backends.small, more];
  for (const replica of replicas)
    replica.behave = async (request, response) => {
      if (request.body.includes("wait")) await gate.promise;
      await answerChat(request, response);
    };
  const models = [{ name: "small", task: "chat", replicas: replicas.map(({ url }) => ({ url })) }];
  const settings = {
    tenants: { acme: { limits: UNBOUNDED } },
    affinity: { enabled: true, prefixCharacters: 16 },
  };
  gateway = await startGateway(
    readConfig({
      ...env(),
      GATEWAY_MODELS: JSON.stringify(models),
      GATEWAY_SETTINGS_FILE: settingsFile(settings),
    }),
  );
  const { url } = gateway;
  await until(async () => (await metric(url, METRICS.replicasHealthy.name, { model: "small" })) === 2);
  const prefix = "The same beginning of all: ";
  for (let index = 0; index < 10; index += 1) await ask(url, "small", { content: `${prefix}${index}` });
  expect(replicas.map(({ received }) => received.length).sort()).toEqual([0, 10]);
  const held = Array.from({ length: 12 }, () => ask(url, "small", { content: `${prefix} wait` }));
  await until(
    () =>
      replicas.every(({ received }) => received.length > 0) &&
      replicas.reduce((sum, { received }) => sum + received.length, 0) === 22,
  );
  // 12 requests on two replicas: the prompt's own has at most ceil(12 / 2 × 1.25) = 8 of them.
  const spilled = Math.min(...replicas.map(({ received }) => received.length));
  expect(spilled).toBeGreaterThanOrEqual(4);
  expect(spilled).toBeLessThanOrEqual(6);
  gate.resolve();
  await Promise.all(held);
});

describe("a reload", () => {
  test("when names change, then the next request goes by the new ones, and streams that run are not cut", async () => {
    const gate = Promise.withResolvers<void>();
    backends.outside.behave = async (_, response) => {
      beginStream(response);
      response.write('data: {"model":"theirs-1","choices":[]}\n\n');
      await gate.promise;
      response.end("data: [DONE]\n\n");
    };
    const first = env({ routing: { aliases: { fast: "small" } } });
    gateway = await startGateway(readConfig(first));
    const { url } = gateway;
    const running = await ask(url, "outside", { stream: true });
    const changed = JSON.stringify({
      tenants: { acme: { limits: UNBOUNDED } },
      routing: { aliases: { fast: "large" } },
    });
    writeFileSync(first.GATEWAY_SETTINGS_FILE, changed);
    gateway.reload();
    expect((await ask(url, "fast")).status).toBe(200);
    expect(asked()).toMatchObject({ small: 0, large: 1 });
    expect((await ask(url, "outside")).status).toBe(404);
    gate.resolve();
    expect(await running.text()).toContain("[DONE]");
  });
});

test("readiness, when only a provider can answer, then the gateway is not ready", async () => {
  for (const name of ["small", "large", "coder"] as const) backends[name].health = 503;
  gateway = await startGateway(readConfig(env()));
  const { url } = gateway;
  expect((await ask(url, "outside")).status).toBe(200);
  expect((await fetch(`${url}/ready`)).status).toBe(503);
  backends.small.health = 200;
  await until(async () => (await fetch(`${url}/ready`)).status === 200);
});

test("a model's maxConcurrency, when its replicas are full, then further requests wait for a place", async () => {
  const gate = Promise.withResolvers<void>();
  backends.small.behave = async (request, response) => {
    await gate.promise;
    await answerChat(request, response);
  };
  const url = await start({ models: { small: { maxConcurrency: 2 } } });
  const answers = Array.from({ length: 3 }, () => ask(url, "small"));
  await until(
    async () => (await metric(url, METRICS.queueLength.name, { model: "small", tier: "bronze" })) === 1,
  );
  expect(asked().small).toBe(2);
  gate.resolve();
  for (const { status } of await Promise.all(answers)) expect(status).toBe(200);
});

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
      "an unknown provider",
      { models: { x: { provider: "nobody" } } },
      ["models.x.provider is none of the providers"],
    ],
    [
      "an unknown credential",
      { more: { providers: { theirs: { kind: "openai", baseUrl: "https://x.test", credential: "lost" } } } },
      ["providers.theirs.credential is none of GATEWAY_CREDENTIALS"],
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
