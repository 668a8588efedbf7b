import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { LedgerReader, temporaryFolder } from "./cost-support.ts";
import {
  beginStream,
  CHAT_ANSWER,
  chatBody,
  chunk,
  EMBEDDER,
  errorOf,
  type FakeReplica,
  MODEL,
  metric,
  post,
  sendJson,
  sha256,
  sse,
  startReplica,
  startTestGateway,
  until,
  usageChunk,
} from "./support.ts";

const PRICE = { promptUsd: 0.15, cachedPromptUsd: 0.0375, completionUsd: 0.6 };
const PRICES = { cost: { prices: { [MODEL]: PRICE, [EMBEDDER]: { promptUsd: 0.02 } } } };
const UNBOUNDED = {
  tenants: { acme: { limits: { requestsPerMinute: null, tokensPerMinute: null, concurrency: null } } },
};
const nano = (prompt: number, cached: number, completion: number) =>
  Math.round((prompt - cached) * 150 + cached * 37.5 + completion * 600);

/** What a test's request asks the fake engine to count, in fields that only it reads. */
interface Wanted {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
}

const usageOf = ({ prompt, cached, completion }: Wanted) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
});

interface Asked extends Wanted {
  readonly stream?: boolean;
  readonly stream_options?: { include_usage?: boolean; continuous_usage_stats?: boolean };
}

/** Answers as vLLM does, with the usage that the request wants. */
function answer(asked: Asked, response: ServerResponse): void {
  if (asked.stream) stream(asked, response);
  else sendJson(response, { ...CHAT_ANSWER, usage: usageOf(asked) });
}

function stream(asked: Asked, response: ServerResponse): void {
  beginStream(response);
  for (let token = 1; token <= asked.completion; token += 1) writeToken(response, asked, token);
  response.end(sse(usageChunk(usageOf(asked))) + sse("[DONE]"));
}

function writeToken(response: ServerResponse, asked: Asked, token: number): void {
  const usage = {
    prompt_tokens: asked.prompt,
    total_tokens: asked.prompt + token,
    completion_tokens: token,
  };
  const continuous = asked.stream_options?.continuous_usage_stats === true;
  response.write(sse({ ...chunk(` ${token}`), ...(continuous ? { usage } : {}) }));
}

describe.each(POSTGRES_KINDS)("the cost of requests (%s)", (kind) => {
  let database: StoreProcess;
  let ledger: LedgerReader;
  let replica: FakeReplica;
  const gateways: RunningGateway[] = [];
  const journal = temporaryFolder();

  beforeAll(async () => {
    [database, replica] = await Promise.all([startPostgres(kind), startReplica()]);
    ledger = new LedgerReader(database.url);
  });

  afterEach(async () => {
    await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
    replica.behave = (request, response) => answer(JSON.parse(request.body) as Asked, response);
  });

  afterAll(async () => {
    await Promise.all([database.stop(), replica.close()]);
    journal.remove();
  });

  async function start(settings: object = PRICES, env: Record<string, string> = {}): Promise<string> {
    replica.behave = (request, response) => answer(JSON.parse(request.body) as Asked, response);
    const gateway = await startTestGateway({
      replicas: [replica.url],
      settings,
      env: { GATEWAY_DATABASE_URL: database.url, GATEWAY_JOURNAL_DIR: journal.path, ...env },
    });
    gateways.push(gateway);
    return gateway.url;
  }

  const ask = (url: string, id: string, extra: object) =>
    post(url, { body: chatBody(extra), headers: { "x-request-id": id, "x-user-id": "person-1" } });

  test("a stream, when it costs, then as much as the same answer at once, over random requests", async () => {
    const url = await start();
    const prefix = randomUUID();
    let asked = 0;
    const tokens = fc.record({ prompt: fc.nat(9_999), cached: fc.nat(12_000), completion: fc.nat(40) });
    const options = fc.constantFrom(
      {},
      { stream_options: { include_usage: true } },
      { stream_options: { include_usage: true, continuous_usage_stats: true } },
    );
    const wanted: Wanted[] = [];
    await fc.assert(
      fc.asyncProperty(tokens, options, async (counts, extra) => {
        const id = `${prefix}-${String(asked).padStart(4, "0")}`;
        asked += 1;
        wanted.push(counts);
        const whole = ask(url, `${id}-a`, counts);
        const streamed = ask(url, `${id}-b`, { ...counts, ...extra, stream: true });
        for (const response of await Promise.all([whole, streamed])) {
          expect(response.status).toBe(200);
          await response.text();
        }
      }),
      { numRuns: 60 },
    );
    const rows = await ledger.rowsOnce(prefix, asked * 2);
    expect(rows).toHaveLength(asked * 2);
    wanted.forEach(({ prompt, cached, completion }, index) => {
      const [whole, streamed] = rows.slice(index * 2, index * 2 + 2);
      const billed = { prompt_tokens: prompt, cached_prompt_tokens: cached, completion_tokens: completion };
      const cost = nano(prompt, Math.min(cached, prompt), completion);
      expect(whole).toMatchObject({ ...billed, stream: false, nano_usd: String(cost), estimated: false });
      expect(streamed).toMatchObject({ ...billed, stream: true, nano_usd: String(cost), estimated: false });
    });
  });

  test("a request, when it is settled, then the ledger says whose it was and what became of it", async () => {
    const url = await start();
    const id = randomUUID();
    await (await ask(url, id, { prompt: 100, cached: 0, completion: 7, stream: true })).text();
    expect((await ledger.rowsOnce(id, 1))[0]).toMatchObject({
      tenant: "acme",
      project: "default",
      key_id: "key-1",
      user_id: "person-1",
      model: MODEL,
      backend: MODEL,
      release: "r1",
      color: "blue",
      endpoint: "/v1/chat/completions",
      status: 200,
      stream: true,
      probe: false,
    });
    await until(async () => (await metric(url, "gateway_cost_usd_total", { model: MODEL })) > 0);
    expect(await metric(url, "gateway_cost_usd_total", { model: MODEL })).toBeCloseTo(
      nano(100, 0, 7) / 1e9,
      12,
    );
  });

  test("requests with one and the same id, when a client sends them, then each of them is billed", async () => {
    const url = await start();
    const id = randomUUID();
    for (let index = 0; index < 5; index += 1) {
      await (await ask(url, id, { prompt: 1, cached: 0, completion: 1 })).text();
    }
    expect(await ledger.rowsOnce(id, 5)).toHaveLength(5);
  });

  test.each([
    ["the client leaves", "leave"],
    ["the engine dies", "die"],
    ["the engine stands still", "stall"],
  ])("a stream, when %s, then it costs what was sent, to the token", async (_, how) => {
    const idle = how === "stall" ? "0.5" : "60";
    const url = await start(PRICES, { GATEWAY_STREAM_IDLE_TIMEOUT_SECONDS: idle });
    const id = randomUUID();
    replica.behave = (request, response) => {
      const asked = JSON.parse(request.body) as Asked;
      beginStream(response);
      for (let token = 1; token <= 3; token += 1) writeToken(response, asked, token);
      if (how === "die") setTimeout(() => response.socket?.destroy(), 50);
    };
    const response = await ask(url, id, { prompt: 20, cached: 0, completion: 9, stream: true });
    const reader = response.body?.getReader();
    let text = "";
    while (text.split("data: ").length <= 3)
      text += Buffer.from((await reader?.read())?.value ?? []).toString();
    expect(text).not.toContain("usage");
    if (how === "leave") await reader?.cancel();
    else while (!(await reader?.read())?.done);
    const [row] = await ledger.rowsOnce(id, 1);
    expect(row).toMatchObject({
      status: how === "leave" ? 499 : 200,
      prompt_tokens: 20,
      completion_tokens: 3,
      estimated: false,
      nano_usd: String(nano(20, 0, 3)),
    });
  });

  test("a stream of several choices, when it is cut, then it costs all of them and its prompt once", async () => {
    const url = await start();
    const id = randomUUID();
    replica.behave = (_, response) => {
      beginStream(response);
      for (const [index, completion] of [
        [0, 1],
        [1, 1],
        [0, 2],
      ]) {
        const usage = { prompt_tokens: 20, completion_tokens: completion, total_tokens: 0 };
        response.write(sse({ ...chunk("x"), choices: [{ index, delta: {}, finish_reason: null }], usage }));
      }
      setTimeout(() => response.socket?.destroy(), 50);
    };
    await (await ask(url, id, { n: 2, stream: true })).text();
    expect((await ledger.rowsOnce(id, 1))[0]).toMatchObject({ prompt_tokens: 20, completion_tokens: 3 });
  });

  test("a stream, when its engine never tells usage and it is cut, then its cost is an estimate, and says so", async () => {
    const url = await start();
    const id = randomUUID();
    replica.behave = (_, response) => {
      beginStream(response);
      for (const word of ["", "one", "two"]) response.write(sse(chunk(word)));
      setTimeout(() => response.socket?.destroy(), 50);
    };
    await (await ask(url, id, { stream: true })).text();
    const [row] = await ledger.rowsOnce(id, 1);
    expect(row).toMatchObject({ estimated: true, completion_tokens: 2 });
    expect(row?.prompt_tokens).toBeGreaterThan(0);
  });

  test("an answer, when its backend leaves out the total, then it costs what the other figures say", async () => {
    const url = await start();
    const id = randomUUID();
    const usage = { prompt_tokens: 5_000, completion_tokens: 9_000, total_tokens: null };
    replica.behave = (_, response) => sendJson(response, { ...CHAT_ANSWER, usage });
    expect((await ask(url, id, {})).status).toBe(200);
    const [row] = await ledger.rowsOnce(id, 1);
    expect(row).toMatchObject({ estimated: false, nano_usd: String(nano(5_000, 0, 9_000)) });
  });

  test("an answer, when its backend tells no usage, then its cost is an estimate by its length, and says so", async () => {
    const url = await start();
    const id = randomUUID();
    const content = "word ".repeat(400);
    replica.behave = (_, response) => {
      const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
      sendJson(response, { ...CHAT_ANSWER, usage: undefined, choices });
    };
    expect((await ask(url, id, {})).status).toBe(200);
    const [row] = await ledger.rowsOnce(id, 1);
    expect(row?.estimated).toBe(true);
    expect(row?.prompt_tokens).toBeGreaterThan(0);
    expect(row?.completion_tokens).toBeGreaterThanOrEqual(content.length / 4);
    expect(row?.completion_tokens).toBeLessThan(content.length / 3);
    expect(Number(row?.nano_usd)).toBeGreaterThan(0);
  });

  test.each([
    ["fails", 500],
    ["is too late", 504],
  ])("an answer, when the engine %s, then it is in the ledger and costs nothing", async (_, status) => {
    const seconds = status === 500 ? "30" : "0.5";
    const url = await start(PRICES, { GATEWAY_REQUEST_TIMEOUT_SECONDS: seconds });
    const id = randomUUID();
    replica.behave = (_request, response) => {
      // A status that is not tried again.
      if (status === 500) sendJson(response, {}, 401);
    };
    expect((await ask(url, id, {})).status).toBe(status);
    const [row, ...others] = await ledger.rowsOnce(id, 1);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ status, nano_usd: "0", prompt_tokens: 0, completion_tokens: 0 });
  });

  test("a request, when it is refused before any model, then it is not in the ledger", async () => {
    const url = await start();
    const id = randomUUID();
    expect((await ask(url, id, { messages: [] })).status).toBe(400);
    const marker = randomUUID();
    await (await ask(url, marker, { prompt: 1, cached: 0, completion: 1 })).text();
    await ledger.rowsOnce(marker, 1);
    expect(await ledger.rows(id)).toEqual([]);
  });

  test("a model without a price, when it is asked, then it is refused before inference, with a reason", async () => {
    const url = await start({ cost: { prices: { [EMBEDDER]: { promptUsd: 1 } } } });
    const before = replica.received.length;
    const response = await ask(url, randomUUID(), {});
    expect(response.headers.get("retry-after")).not.toBeNull();
    expect(await errorOf(response)).toMatchObject({
      status: 503,
      code: "unavailable",
      message: "This model has no price yet, so that it cannot be used.",
    });
    expect(replica.received.length).toBe(before);
  });

  test("costs, when tenants ask for them, then each sees its own, and only an operator sees all and what nodes cost", async () => {
    const keys = [
      { id: "one", sha256: sha256("sk-one"), tenant: "one", permissions: ["*:*"] },
      { id: "two", sha256: sha256("sk-two"), tenant: "two", permissions: ["*:*"] },
      { id: "poor", sha256: sha256("sk-poor"), tenant: "one", permissions: ["create:chat"] },
      { id: "ops", sha256: sha256("sk-ops"), tenant: "ops", permissions: ["*:*"], operator: true },
    ];
    const nodes = { selfHosted: { nodeHourUsd: 1, tokensPerSecond: 1_000 } };
    const settings = { cost: { prices: { [MODEL]: nodes } } };
    const url = await start(settings, { GATEWAY_KEYS: JSON.stringify(keys) });
    const prefix = randomUUID();
    for (const [key, prompt] of [
      ["sk-one", 1_000],
      ["sk-two", 2_000],
    ]) {
      const headers = { authorization: `Bearer ${key}`, "x-request-id": `${prefix}-${key}` };
      await (await post(url, { body: chatBody({ prompt, cached: 0, completion: 0 }), headers })).text();
    }
    await ledger.rowsOnce(prefix, 2);
    const costs = async (key: string, query = "") => {
      const headers = { authorization: `Bearer ${key}` };
      const response = await fetch(`${url}/admin/v1/costs?by=tenant${query}`, { headers });
      return { status: response.status, text: await response.text() };
    };
    const tenants = (text: string) =>
      (JSON.parse(text) as { data: { tenant: string }[] }).data.map(({ tenant }) => tenant);
    const own = await costs("sk-one");
    expect(tenants(own.text)).toEqual(["one"]);
    expect(own.text).not.toContain("two");
    expect(JSON.parse(own.text)).not.toHaveProperty("selfHosted");
    expect((await costs("sk-one", "&tenant=two")).status).toBe(404);
    expect((await costs("sk-poor")).status).toBe(403);
    expect((await costs("sk-one", "&from=2026-13-01")).status).toBe(400);
    const all = await costs("sk-ops");
    expect(tenants(all.text)).toEqual(expect.arrayContaining(["one", "two"]));
    expect(JSON.parse(all.text)).toMatchObject({
      selfHosted: [{ model: MODEL, tenants: expect.anything() }],
      unpricedModels: [EMBEDDER],
    });
    expect(tenants((await costs("sk-ops", "&tenant=two")).text)).toEqual(["two"]);
  });

  test("prices, when the settings file changes, then the next request goes by the new ones", async () => {
    const file = join(journal.path, "settings.json");
    const write = (promptUsd: number) =>
      writeFileSync(file, JSON.stringify({ ...UNBOUNDED, cost: { prices: { [MODEL]: { promptUsd } } } }));
    write(0.15);
    const url = await start({}, { GATEWAY_SETTINGS_FILE: file });
    const [first, second] = [randomUUID(), randomUUID()];
    await (await ask(url, first, { prompt: 10, cached: 0, completion: 0 })).text();
    await ledger.rowsOnce(first, 1);
    write(15);
    gateways[0]?.reload();
    await (await ask(url, second, { prompt: 10, cached: 0, completion: 0 })).text();
    expect((await ledger.rowsOnce(first, 1))[0]?.nano_usd).toBe("1500");
    expect((await ledger.rowsOnce(second, 1))[0]?.nano_usd).toBe("150000");
  });
});
