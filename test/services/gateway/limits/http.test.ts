import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { RunningGateway } from "../../../../services/gateway/server.ts";
import { REDIS_KINDS, type StoreProcess, startRedis } from "../../stores.ts";
import {
  chatBody,
  errorOf,
  type FakeReplica,
  metric,
  post,
  startReplica,
  startTestGateway,
  until,
} from "../support.ts";
import { boundedBy, connect, isShared } from "./support.ts";

let replica: FakeReplica;
beforeAll(async () => {
  replica = await startReplica();
});
afterAll(() => replica.close());

/** A gateway whose tests' tenant has these bounds, once it goes by the shared store. */
async function limitedGateway(
  store: StoreProcess | undefined,
  limits: object,
  more: { readonly replica?: FakeReplica; readonly section?: object } = {},
): Promise<RunningGateway> {
  const gateway = await startTestGateway({
    replicas: [(more.replica ?? replica).url],
    env: store ? { GATEWAY_REDIS_URL: store.url } : {},
    settings: boundedBy(limits, more.section),
  });
  onTestFinished(() => gateway.close());
  if (store) await until(() => isShared(gateway.url));
  return gateway;
}

describe.each(REDIS_KINDS)("limits of a gateway with %s Redis", (kind) => {
  let store: StoreProcess;
  beforeAll(async () => {
    store = await startRedis(kind);
  });
  afterAll(() => store.stop());
  const flush = () => connect(store.url).flushall();

  test("requests, when they are more than a minute allows, then they are refused with OpenAI's headers", async () => {
    await flush();
    const { url } = await limitedGateway(store, { requestsPerMinute: 3, tokensPerMinute: 100_000 });
    const answers = [await post(url), await post(url), await post(url), await post(url)];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    const [first, , third, refused] = answers;
    expect(first?.headers.get("x-ratelimit-limit-requests")).toBe("3");
    expect(first?.headers.get("x-ratelimit-remaining-requests")).toBe("2");
    expect(third?.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(first?.headers.get("x-ratelimit-reset-requests")).toMatch(/^(1m0(\.\d+)?s|60(\.\d+)?s|59\.\d+s)$/);
    expect(first?.headers.get("x-ratelimit-limit-tokens")).toBe("100000");
    expect(refused?.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThanOrEqual(50);
    expect(Number(refused?.headers.get("retry-after"))).toBeLessThanOrEqual(61);
    expect(refused && (await errorOf(refused))).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(await metric(url, "gateway_limited_total", { tenant: "acme", because: "requests" })).toBe(1);
  });

  test("tokens, when an answer takes fewer than were reserved, then the rest is given back", async () => {
    await flush();
    const { url } = await limitedGateway(store, { tokensPerMinute: 1_200 });
    const ask = () => post(url, { body: chatBody({ max_tokens: 1_000 }) });
    // Each takes 14 tokens in the end, though 1,000 and its prompt are reserved: five in turn fit.
    for (let i = 0; i < 5; i += 1) await until(async () => (await ask()).status === 200);
    const used = async () => Number(await connect(store.url).hget("{acme}:limits:window", "t"));
    await until(async () => (await used()) === 5 * 14);
    const both = await Promise.all([ask(), ask()]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 429]);
    await until(async () => (await used()) === 6 * 14);
  });

  test("a request, when it takes more tokens than a minute has, then it is at fault", async () => {
    await flush();
    const { url } = await limitedGateway(store, { tokensPerMinute: 500 });
    const answer = await post(url, { body: chatBody({ max_completion_tokens: 400, n: 2 }) });
    expect(await errorOf(answer)).toMatchObject({ status: 400, code: "tokens_exceeded" });
    expect((await post(url, { body: chatBody({ max_completion_tokens: 400 }) })).status).toBe(200);
  });

  test("concurrency, when as many are under way as may be, then another one waits until one ends", async () => {
    await flush();
    const slow = await startReplica();
    onTestFinished(() => slow.close());
    const held = Promise.withResolvers<void>();
    const { behave } = slow;
    slow.behave = async (request, response) => {
      if (request.path.startsWith("/v1")) await held.promise;
      await behave(request, response);
    };
    const gateway = await limitedGateway(store, { concurrency: 2 }, { replica: slow });
    const running = [post(gateway.url), post(gateway.url)];
    await until(() => slow.received.length === 2);
    const refused = await post(gateway.url);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    held.resolve();
    for (const { status } of await Promise.all(running)) expect(status).toBe(200);
    await until(async () => (await post(gateway.url)).status === 200);
  });

  test("a client, when it leaves before its answer, then what was reserved is given back", async () => {
    await flush();
    const silent = await startReplica(() => new Promise(() => undefined));
    onTestFinished(() => silent.close());
    const bounds = { concurrency: 1, tokensPerMinute: 1_200 };
    const gateway = await limitedGateway(store, bounds, { replica: silent });
    const leaver = new AbortController();
    const left = post(gateway.url, { signal: leaver.signal }).catch(() => "left");
    await until(() => silent.received.length === 1);
    expect((await post(gateway.url)).status).toBe(429);
    leaver.abort();
    expect(await left).toBe("left");
    silent.behave = (_request, response) => void response.writeHead(500).end();
    await until(async () => (await post(gateway.url)).status === 500);
    expect(await connect(store.url).zcard("{acme}:limits:open")).toBeLessThanOrEqual(1);
    await until(async () => (await connect(store.url).hget("{acme}:limits:window", "t")) === "0");
  });

  test("a key with a tombstone, when it asks, then it is refused as unknown", async () => {
    await flush();
    const { url } = await limitedGateway(store, {});
    expect((await post(url)).status).toBe(200);
    await connect(store.url).set("{acme}:revoked:key-1", "1", "EX", 100);
    expect((await post(url)).status).toBe(401);
    await flush();
    expect((await post(url)).status).toBe(200);
  });

  test("the store, when it loses its scripts and its data, then requests go on by it", async () => {
    await flush();
    const gateway = await limitedGateway(store, { requestsPerMinute: 2 });
    expect((await post(gateway.url)).status).toBe(200);
    await connect(store.url).script("FLUSH");
    await flush();
    expect((await post(gateway.url)).status).toBe(200);
    expect(await connect(store.url).hget("{acme}:limits:window", "r")).toBe("1");
    expect(await isShared(gateway.url)).toBe(true);
  });
});

describe("a gateway without a key-value store", () => {
  test("its requests, when they are more than its share, then they are refused", async () => {
    const { url } = await limitedGateway(undefined, { requestsPerMinute: 4 }, { section: { gateways: 2 } });
    const statuses = [await post(url), await post(url), await post(url)].map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 429]);
  });
});
