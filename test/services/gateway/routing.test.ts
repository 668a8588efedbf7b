import { writeFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { ask, asked, backends, env, launch, modelOf, start, UNBOUNDED } from "./routing-support.ts";
import {
  answerChat,
  beginStream,
  EMBEDDER,
  errorOf,
  KEY,
  metric,
  post,
  settingsFile,
  startReplica,
  until,
} from "./support.ts";

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
  const gateway = await launch({
    ...env(),
    GATEWAY_MODELS: JSON.stringify(models),
    GATEWAY_SETTINGS_FILE: settingsFile(settings),
  });
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
    const gateway = await launch(first);
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
  const gateway = await launch(env());
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
