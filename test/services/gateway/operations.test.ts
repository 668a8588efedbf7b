import { Validator } from "@seriousme/openapi-schema-validator";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { ADMIN_ROUTES } from "../../../services/gateway/admin/router.ts";
import {
  COMMON_LABELS,
  DEGRADED_HEADER,
  FALLBACK_HEADER,
  FEEDBACK_HEADER,
  METRICS,
  PATHS,
  RELEASE_HEADER,
} from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { PASSWORD, startEmbedded } from "../key-value/support.ts";
import { BETA, FLAG, flagFor, flagged } from "./flags.ts";
import { Store } from "./store.ts";
import {
  chatBody,
  deadUrl,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  startReplica,
  startTestGateway,
  type TestGatewayOptions,
  until,
} from "./support.ts";

// If each waited for a data store, for the shortest time limit that there is, they would take 15 s.
const CHATS = 100;
const SLOWEST_MS = 12_000;

let replica: FakeReplica;
let gateway: RunningGateway | undefined;

beforeEach(async () => {
  replica = await startReplica();
});

afterEach(async () => {
  await gateway?.close();
  await replica.close();
});

async function start(options: Partial<TestGatewayOptions> = {}): Promise<string> {
  gateway = await startTestGateway({ replicas: [replica.url], ...options });
  return gateway.url;
}

async function ready(url: string): Promise<{ code: number; body: Record<string, unknown> }> {
  const response = await fetch(`${url}/ready`);
  return { code: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe("readiness", () => {
  test("follows the health of the chat model's replicas", async () => {
    replica.health = 503;
    const url = await start();
    expect((await ready(url)).code).toBe(503);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    replica.health = 200;
    await until(async () => (await ready(url)).code === 200);
    replica.health = 500;
    await until(async () => (await ready(url)).code === 503);
    expect((await ready(url)).body).toMatchObject({ status: "not_ready" });
  });

  test("says which color, release, models and replicas", async () => {
    const url = await start({ replicas: [replica.url, await deadUrl()] });
    await until(async () => (await ready(url)).code === 200);
    expect((await ready(url)).body).toEqual({
      status: "ready",
      color: "blue",
      release: "r1",
      models: [
        { name: MODEL, replicas: 2, healthy: 1 },
        { name: "embedding-model", replicas: 2, healthy: 1 },
      ],
      dependencies: [],
    });
  });

  test("an engine without /health counts as healthy when it answers", async () => {
    replica.health = 404;
    const url = await start();
    await until(async () => (await ready(url)).code === 200);
  });
});

describe("data stores", () => {
  const dependencies = async (url: string) =>
    (await ready(url)).body.dependencies as { name: string; status: string }[];

  async function quickChats(url: string): Promise<number> {
    const started = performance.now();
    for (let index = 0; index < CHATS; index += 1) expect((await post(url)).status).toBe(200);
    return performance.now() - started;
  }

  test("dead ones neither fail nor delay a request, and readiness shows them", async () => {
    const { host } = new URL(await deadUrl());
    const url = await start({
      env: { GATEWAY_REDIS_URL: `redis://:pw@${host}`, GATEWAY_DATABASE_URL: `postgresql://u:pw@${host}/db` },
    });
    await until(async () => (await ready(url)).code === 200);
    expect(await quickChats(url)).toBeLessThan(SLOWEST_MS);
    expect(await dependencies(url)).toEqual([
      { name: "key-value", status: "down" },
      { name: "ledger", status: "down" },
    ]);
    expect(await metric(url, "gateway_dependency_up", { dependency: "ledger" })).toBe(0);
  });

  test("hanging ones neither fail nor delay a request", async () => {
    const store = new Store();
    store.silent = true;
    await store.listen();
    const url = await start({
      env: {
        GATEWAY_REDIS_URL: `redis://127.0.0.1:${store.port}`,
        GATEWAY_DATABASE_URL: `postgresql://u@127.0.0.1:${store.port}/db`,
      },
    });
    await until(async () => (await ready(url)).code === 200 && store.connections >= 2);
    expect(await quickChats(url)).toBeLessThan(SLOWEST_MS);
    expect((await dependencies(url)).map(({ status }) => status)).toEqual(["down", "down"]);
    await store.close();
  });

  test("a key-value store that comes and goes is noticed", async () => {
    const store = new Store();
    await store.listen();
    const url = await start({ env: { GATEWAY_REDIS_URL: `redis://127.0.0.1:${store.port}` } });
    await until(async () => (await dependencies(url))[0]?.status === "up");
    expect(await metric(url, "gateway_dependency_up", { dependency: "key-value" })).toBe(1);
    await store.close();
    await until(async () => (await dependencies(url))[0]?.status === "down");
  });
});

describe("metrics", () => {
  test("are exactly those of the contract, with their labels, the color and the release", async () => {
    const keyValue = await startEmbedded();
    onTestFinished(keyValue.stop);
    const env = {
      ...(await flagged(replica.url, { [FLAG]: flagFor("tenant", "acme") })),
      GATEWAY_RELEASE_LABEL: "Summer 1.2",
      GATEWAY_FEEDBACK_KEY: "feedback-key-for-tests",
      GATEWAY_REDIS_URL: `redis://:${PASSWORD}@127.0.0.1:${keyValue.port}`,
    };
    const url = await start({ env });
    await until(async () => (await metric(url, METRICS.dependencyUp.name, {})) === 1);
    const token = (await post(url, { body: chatBody({ model: BETA }) })).headers.get(FEEDBACK_HEADER);
    await post(url, { path: PATHS.feedback, body: JSON.stringify({ token, rating: "good" }) });
    const another = (await post(url)).headers.get(FEEDBACK_HEADER);
    await post(url, { path: PATHS.feedback, body: JSON.stringify({ token: another, rating: "bad" }) });
    await (await post(url, { body: chatBody({ stream: true }) })).text();
    replica.behave = (_, response) => void response.writeHead(500).end();
    await post(url);
    const text = await (await fetch(url + PATHS.metrics)).text();
    const names = new Set([...text.matchAll(/^# TYPE (gateway_\w+)/gm)].map(([, name]) => name));
    expect(names).toEqual(new Set(Object.values(METRICS).map(({ name }) => name)));
    for (const { name, labels } of Object.values(METRICS)) {
      for (const [, sample = ""] of text.matchAll(new RegExp(`^${name}(?:_count)?\\{(.*)\\}`, "gm"))) {
        const found = [...sample.matchAll(/(\w+)="/g)].map(([, label]) => label);
        expect(found.sort(), name).toEqual([...labels, ...COMMON_LABELS].sort());
        expect(sample).toContain('color="blue"');
        expect(sample).toContain('release="r1"');
      }
    }
    expect(text).toContain('release_label="Summer 1.2"');
  });

  test("a client's model name or path never becomes a label", async () => {
    const url = await start();
    for (let index = 0; index < 5; index += 1)
      await post(url, { body: chatBody({ model: `evil-${index}` }) });
    await fetch(`${url}/v1/evil`, { headers: { authorization: `Bearer ${KEY}` } });
    await fetch(`${url}/v1/models/evil`, { headers: { authorization: `Bearer ${KEY}` } });
    expect(await (await fetch(`${url}/metrics`)).text()).not.toContain("evil");
    expect(await metric(url, "gateway_requests_total", { model: "unknown", status: "404" })).toBe(5);
    expect(await metric(url, "gateway_requests_total", { endpoint: "other", status: "404" })).toBe(1);
  });

  test("requests are counted by status and tenant", async () => {
    const url = await start();
    await post(url);
    await post(url, { headers: { authorization: "Bearer nobody" } });
    expect(await metric(url, "gateway_requests_total", { model: MODEL, status: "200", tenant: "acme" })).toBe(
      1,
    );
    expect(
      await metric(url, "gateway_requests_total", { model: "none", status: "401", tenant: "none" }),
    ).toBe(1);
    expect(
      await metric(url, "gateway_request_duration_seconds_count", { model: MODEL, status_class: "2xx" }),
    ).toBe(1);
  });
});

describe("OpenAPI", () => {
  test("the document is valid and names every path that is served", async () => {
    const url = await start();
    const document = (await (await fetch(url + PATHS.openapi)).json()) as { openapi: string; paths: object };
    const result = await new Validator().validate(document);
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    expect(document.openapi).toMatch(/^3\.1/);
    const { admin, ...own } = PATHS;
    const paths = [...Object.values(own), `${PATHS.models}/{model}`];
    const ofAdmin = ADMIN_ROUTES.map(({ path }) => admin + path);
    expect(Object.keys(document.paths).sort()).toEqual([...paths, ...new Set(ofAdmin)].sort());
  });

  test("the document tells of the headers that the API's answers carry", async () => {
    interface Operation {
      readonly responses: Record<string, { readonly headers?: object }>;
    }
    const document = (await (await fetch((await start()) + PATHS.openapi)).json()) as {
      paths: Record<string, Record<string, Operation>>;
    };
    const headersOf = (path: string, status: number) =>
      Object.values(document.paths[path] ?? {}).map(({ responses }) =>
        Object.keys(responses[status]?.headers ?? {}),
      );
    for (const path of [PATHS.chatCompletions, PATHS.completions, PATHS.embeddings])
      expect(headersOf(path, 200)).toEqual([
        [RELEASE_HEADER, FEEDBACK_HEADER, FALLBACK_HEADER, DEGRADED_HEADER],
      ]);
    expect(headersOf(PATHS.feedback, 202)).toEqual([[RELEASE_HEADER]]);
    expect(headersOf(PATHS.models, 401)).toEqual([[RELEASE_HEADER]]);
  });
});
