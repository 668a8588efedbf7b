import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { figuresBetween } from "../../../release/figures/figures.ts";
import { parseMetrics } from "../../../release/figures/prometheus-text.ts";
import { gatewayFigures } from "../../../release/figures/source.ts";
import { totalOf } from "../../../release/figures/statistics.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  chatBody,
  deadUrl,
  type FakeReplica,
  KEY,
  post,
  sendJson,
  startReplica,
  startTestGateway,
} from "../../services/gateway/support.ts";

const signal = new AbortController().signal;
let replica: FakeReplica;
let gateway: RunningGateway;

beforeEach(async () => {
  replica = await startReplica();
  gateway = await startTestGateway({ replicas: [replica.url] });
});
afterEach(async () => {
  await gateway.close();
  await replica.close();
});

async function read() {
  const [counters] = await gatewayFigures.read([{ address: gateway.url, release: "r1" }], signal);
  if (!counters) throw new Error("the gateway told nothing");
  return counters;
}

/** Sends a chat and reads its answer whole. */
async function ask(body = chatBody()): Promise<void> {
  await (await post(gateway.url, { body })).text();
}

describe("the figures of a gateway", () => {
  test("count answers and failures between two looks, streams with their first token", async () => {
    await ask();
    const before = await read();
    await ask();
    await ask(chatBody({ stream: true }));
    replica.behave = (_request, response) => sendJson(response, { error: { message: "no" } }, 500);
    await ask();
    await expect
      .poll(async () => figuresBetween(before, await read()))
      .toMatchObject({ requests: 3, failures: 1 });
    const figures = figuresBetween(before, await read());
    expect(figures.duration && totalOf(figures.duration)).toBe(3);
    expect(figures.firstToken && totalOf(figures.firstToken)).toBe(1);
  });

  test("count a stream that breaks off as failed, although its status was 200", async () => {
    const before = await read();
    replica.behave = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n', () =>
        response.destroy(),
      );
    };
    await ask(chatBody({ stream: true })).catch(() => {});
    await expect
      .poll(async () => figuresBetween(before, await read()))
      .toMatchObject({ requests: 1, failures: 1 });
  });

  test("leave out what is a client's own mistake, and what no client asked", async () => {
    const before = await read();
    await ask("{");
    await (await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${KEY}` } })).text();
    await (await fetch(`${gateway.url}/ready`)).text();
    await ask();
    await expect.poll(async () => figuresBetween(before, await read()).requests).toBe(1);
    expect(figuresBetween(before, await read()).failures).toBe(0);
  });

  test("of a gateway that is gone are not known", async () => {
    const colors = [{ address: await deadUrl(), release: "r1" }];
    expect(await gatewayFigures.read(colors, signal)).toEqual([undefined]);
    expect(figuresBetween(undefined, undefined)).toEqual({});
  });

  test("of a gateway that began anew are what it counted since, never a negative number", async () => {
    await ask();
    await expect.poll(async () => (await read()).requests).toBe(1);
    const before = { ...(await read()), startedAt: 1, requests: 1000 };
    expect(figuresBetween(before, await read())).toMatchObject({ requests: 1 });
  });
});

describe("a page of metrics", () => {
  test("is read with escaped labels, infinities and time stamps; comments are left out", () => {
    const page = '# HELP a b\na{x="1,\\"2\\"}",y="\\\\n\\n"} 3 1700000000\nb +Inf\nnonsense\n';
    expect(parseMetrics(page)).toEqual([
      { name: "a", labels: { x: '1,"2"}', y: "\\n\n" }, value: 3 },
      { name: "b", labels: {}, value: Number.POSITIVE_INFINITY },
    ]);
  });
});
