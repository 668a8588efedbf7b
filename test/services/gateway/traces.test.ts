import * as incubating from "@opentelemetry/semantic-conventions/incubating";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { ATTRIBUTES } from "../../../services/gateway/telemetry/semantics.ts";
import { readTraceparent, toTraceparent } from "../../../services/gateway/telemetry/traceparent.ts";
import { type CollectedSpan, type Collector, startCollector } from "./collector.ts";
import {
  chatBody,
  deadUrl,
  type FakeReplica,
  MODEL,
  metric,
  post,
  startReplica,
  startTestGateway,
  until,
} from "./support.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const sampledBy = (flag: "00" | "01") => ({ traceparent: `00-${TRACE}-${PARENT}-${flag}` });

let replica: FakeReplica;
let collector: Collector;
const gateways: RunningGateway[] = [];

beforeEach(async () => {
  [replica, collector] = await Promise.all([startReplica(), startCollector()]);
});

afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.close();
  await Promise.all([replica.close(), collector.close()]);
});

async function start(traces: object, more: object = {}): Promise<RunningGateway> {
  const settings = { telemetry: { traces: { endpoint: collector.url, ...traces }, ...more } };
  const gateway = await startTestGateway({ replicas: [replica.url], settings });
  gateways.push(gateway);
  return gateway;
}

/** All spans, once the gateway has sent the last ones. */
async function spansAfterClose(gateway: RunningGateway): Promise<CollectedSpan[]> {
  await gateway.close();
  return collector.spans;
}

const rootOf = (spans: readonly CollectedSpan[]) => spans.find(({ kind }) => kind === 2);
const attemptsOf = (spans: readonly CollectedSpan[]) => spans.filter(({ kind }) => kind === 3);
const sentTraceparent = () => replica.received.map(({ headers }) => headers.traceparent);

describe("A request that is traced", () => {
  it("then has a span of its own, one for each step and one for the attempt, in one trace", async () => {
    const gateway = await start({ ratio: 1 });
    await (await post(gateway.url)).text();
    const spans = await spansAfterClose(gateway);
    const root = rootOf(spans);
    expect(root).toMatchObject({
      name: "POST /v1/chat/completions",
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 3,
        "http.response.status_code": 200,
        "gateway.tenant": "acme",
        "gateway.key.id": "key-1",
      },
      resource: { "service.name": "gateway", "service.version": "r1", "gateway.color": "blue" },
    });
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    const children = spans.filter(({ parentSpanId }) => parentSpanId === root?.spanId);
    const names = children.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["authenticate", "authorise", "validate", "route", "inference", "settle"]),
    );
    const inference = children.find(({ name }) => name === "inference");
    const [attempt] = attemptsOf(spans);
    expect(attempt).toMatchObject({ name: `chat ${MODEL}`, parentSpanId: inference?.spanId });
    // The request's own span begins with its arrival, from when on it counts whole milliseconds.
    const millisecond = 1_000_000n;
    for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
      expect(BigInt(startTimeUnixNano)).toBeGreaterThanOrEqual(
        BigInt(root?.startTimeUnixNano ?? 0) - millisecond,
      );
      expect(BigInt(endTimeUnixNano)).toBeLessThanOrEqual(BigInt(root?.endTimeUnixNano ?? 0) + millisecond);
      expect(BigInt(endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(startTimeUnixNano));
    }
    expect(sentTraceparent()).toEqual([`00-${attempt?.traceId}-${attempt?.spanId}-01`]);
  });

  it("then a stream's attempt lasts until its end and tells when it began", async () => {
    const gateway = await start({ ratio: 1 });
    await (await post(gateway.url, { body: chatBody({ stream: true }) })).text();
    const [attempt] = attemptsOf(await spansAfterClose(gateway));
    expect(attempt?.events.map(({ name }) => name)).toEqual(["first_token"]);
    expect(rootOf(collector.spans)?.attributes).toMatchObject({ "gen_ai.usage.output_tokens": 3 });
  });

  it("then one that is refused says why, and one that fails is an error", async () => {
    const gateway = await start({ ratio: 1 });
    await post(gateway.url, { headers: { authorization: "Bearer nobody" } });
    replica.behave = (_, response) => void response.writeHead(500).end();
    await post(gateway.url);
    const spans = await spansAfterClose(gateway);
    const roots = spans.filter(({ kind }) => kind === 2);
    expect(roots.map(({ attributes }) => attributes["error.type"])).toEqual([
      "authentication_error",
      "server_error",
    ]);
    expect(roots.map(({ status }) => status.code)).toEqual([0, 2]);
    expect(spans.find(({ name }) => name === "authenticate")?.attributes["error.type"]).toBe(
      "authentication_error",
    );
    expect(attemptsOf(spans).at(-1)).toMatchObject({
      status: { code: 2 },
      attributes: { "error.type": "status" },
    });
  });

  it("then the time in the queue is a span", async () => {
    const settings = {
      queue: { perReplica: 1 },
      telemetry: { traces: { endpoint: collector.url, ratio: 1 } },
    };
    const gateway = await startTestGateway({ replicas: [replica.url], settings });
    gateways.push(gateway);
    await Promise.all([post(gateway.url), post(gateway.url)]);
    const spans = await spansAfterClose(gateway);
    const queue = spans.find(({ name }) => name === "queue");
    expect(spans.find(({ spanId }) => spanId === queue?.parentSpanId)?.name).toBe("inference");
  });
});

describe("A gateway that traces a share of its requests", () => {
  it("then about that share is traced, and the others reach backends without a header", async () => {
    const gateway = await start({ ratio: 0.3 });
    for (let index = 0; index < 20; index += 1)
      await Promise.all(Array.from({ length: 20 }, () => post(gateway.url)));
    const spans = await spansAfterClose(gateway);
    const traced = spans.filter(({ kind }) => kind === 2).length;
    // Of 400 requests 120; this far from it in less than 1 of 10^6 runs.
    expect(Math.abs(traced - 120)).toBeLessThan(46);
    expect(sentTraceparent().filter((header) => header !== undefined)).toHaveLength(traced);
  });

  it("then a ratio of 0 or no endpoint traces nothing", async () => {
    for (const traces of [{ ratio: 0 }, { ratio: 1, endpoint: undefined }]) {
      const gateway = await start(traces);
      await post(gateway.url, { headers: sampledBy("01") });
      expect(await spansAfterClose(gateway)).toEqual([]);
    }
  });
});

describe("A client that names its trace", () => {
  it("then its trace goes on, but its sampled flag decides nothing by default", async () => {
    const gateway = await start({ ratio: 0 });
    await post(gateway.url, { headers: sampledBy("01") });
    expect(await spansAfterClose(gateway)).toEqual([]);
    const [header] = sentTraceparent();
    expect(header).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    expect(header).not.toContain(PARENT);
  });

  it("then ours are spans of its trace, below its span", async () => {
    const gateway = await start({ ratio: 1 });
    await post(gateway.url, { headers: sampledBy("00") });
    const root = rootOf(await spansAfterClose(gateway));
    expect(root).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
  });

  it("then its flag decides where the settings say so", async () => {
    const gateway = await start({ ratio: 1, followClients: true });
    await post(gateway.url, { headers: sampledBy("00") });
    await post(gateway.url, { headers: sampledBy("01") });
    const roots = (await spansAfterClose(gateway)).filter(({ kind }) => kind === 2);
    expect(roots).toHaveLength(1);
    expect(sentTraceparent()[0]).toMatch(/-00$/);
    expect(sentTraceparent()[1]).toMatch(/-01$/);
  });
});

describe("A traceparent header, when it is read", () => {
  it("then only what the standard allows is one", () => {
    expect(readTraceparent(`00-${TRACE}-${PARENT}-01`)).toEqual({
      traceId: TRACE,
      spanId: PARENT,
      sampled: true,
    });
    expect(readTraceparent(`cc-${TRACE}-${PARENT}-00-later`)).toMatchObject({
      traceId: TRACE,
      sampled: false,
    });
    for (const wrong of [
      "",
      "nonsense",
      `ff-${TRACE}-${PARENT}-01`,
      `00-${"0".repeat(32)}-${PARENT}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${PARENT}-01`,
      `00-${TRACE}-${PARENT}-01-more`,
      `00-${TRACE}-${PARENT}-1`,
      `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`,
    ])
      expect(readTraceparent(wrong), wrong).toBeUndefined();
  });

  it("then whatever it holds, nothing is thrown, and what we write is read again", () => {
    fc.assert(fc.property(fc.string({ maxLength: 80 }), (text) => void readTraceparent(text)));
    const parent = { traceId: TRACE, spanId: PARENT, sampled: true };
    expect(readTraceparent(toTraceparent(parent))).toEqual(parent);
  });
});

describe("A collector that is away, refuses or hangs", () => {
  it("then requests are served, spans are given up beyond the bound, and the gateway ends in time", async () => {
    for (const mode of ["away", "refuse", "hang"] as const) {
      if (mode !== "away") collector.mode = mode;
      const endpoint = mode === "away" ? await deadUrl() : collector.url;
      const gateway = await start({ ratio: 1, endpoint, maxQueuedSpans: 20 });
      for (let index = 0; index < 30; index += 1) expect((await post(gateway.url)).status).toBe(200);
      await until(
        async () => (await metric(gateway.url, METRICS.telemetryDropped.name, { signal: "traces" })) > 0,
      );
      const began = performance.now();
      await gateway.close();
      expect(performance.now() - began).toBeLessThan(5_000);
    }
    // One batch at a time: no request of the gateway's clients made one of its own.
    expect(collector.requests()).toBeLessThan(10);
  });
});

describe("The names of attributes", () => {
  it("then are those of the semantic conventions", () => {
    const known = new Set<unknown>(Object.values(incubating));
    for (const name of Object.values(ATTRIBUTES)) expect(known, name).toContain(name);
  });
});
