import { describe, expect, onTestFinished, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { ask, asked, backends, env, launch, start, UNBOUNDED } from "./routing-support.ts";
import {
  beginStream,
  errorOf,
  metric,
  payloads,
  sendJson,
  settingsFile,
  startReplica,
  until,
} from "./support.ts";

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

  test("when the tenant's data may not go to the model itself, then the answer says that a fallback gave it", async () => {
    const url = await start({
      models: CHAIN,
      tenant: { region: "taiwan" },
      regions: { small: "elsewhere", large: "taiwan" },
      more: { residency: { taiwan: ["taiwan"] } },
    });
    const answer = await ask(url, "small");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-model-fallback")).toBe("large");
    expect(await metric(url, METRICS.fallbacks.name, { model: "small", to: "large" })).toBe(1);
    expect(asked()).toMatchObject({ small: 0, large: 1 });
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

  test("when one model has replicas in several, then only those inside are asked, by retries, too", async () => {
    const far = await startReplica();
    onTestFinished(() => far.close());
    const replicas = [
      { url: backends.small.url, region: "taiwan" },
      { url: far.url, region: "us" },
    ];
    const { url } = await launch({
      ...env(),
      GATEWAY_MODELS: JSON.stringify([{ name: "small", task: "chat", replicas }]),
      GATEWAY_SETTINGS_FILE: settingsFile({
        tenants: { acme: { limits: UNBOUNDED, region: "taiwan" } },
        resilience: { retry: { tries: 3, baseSeconds: 0.01, maxSeconds: 0.01 } },
      }),
    });
    await until(async () => (await metric(url, METRICS.replicasHealthy.name, { model: "small" })) === 2);
    for (let index = 0; index < 10; index += 1) expect((await ask(url, "small")).status).toBe(200);
    expect(backends.small.received).toHaveLength(10);
    backends.small.behave = (_, response) => sendJson(response, {}, 500);
    expect((await ask(url, "small")).status).toBe(500);
    expect(backends.small.received).toHaveLength(13);
    expect(far.received).toHaveLength(0);
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
