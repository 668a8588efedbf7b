import fc from "fast-check";
import * as prom from "prom-client";
import { describe, expect, it } from "vitest";
import { parseMetrics } from "../../../release/figures/prometheus-text.ts";
import { boundedLabel } from "../../../services/gateway/metrics.ts";
import { Counter, Gauge, Histogram } from "../../../services/gateway/telemetry/fast-metrics.ts";

const LABELS = ["model", "status"] as const;
const BUCKETS = [0.1, 0.5, 2];
const definition = (name: string) => ({ name, help: 'Some "help" \\ of\ntwo lines.', labels: LABELS });

/** The same three metrics, kept by prom-client and by us. */
function both() {
  const theirs = new prom.Registry();
  const ours = new prom.Registry();
  for (const registry of [theirs, ours]) registry.setDefaultLabels({ color: "blue", release: "r1" });
  const options = (name: string) => {
    const { labels, ...rest } = definition(name);
    return { ...rest, labelNames: [...labels], registers: [theirs] };
  };
  return {
    theirs,
    ours,
    counters: [new prom.Counter(options("a_total")), new Counter(ours, definition("a_total"))] as const,
    gauges: [new prom.Gauge(options("b")), new Gauge(ours, definition("b"))] as const,
    histograms: [
      new prom.Histogram({ ...options("c_seconds"), buckets: BUCKETS }),
      new Histogram(ours, { ...definition("c_seconds"), buckets: BUCKETS }),
    ] as const,
  };
}

const labels = fc.record({
  model: fc.constantFrom("m", 'q"uote', "back\\slash", "line\nbreak", "", "__proto__", "constructor"),
  status: fc.constantFrom(200, 404, 503),
});
const call = fc.record({
  kind: fc.constantFrom("counters", "gauges", "histograms"),
  labels,
  value: fc.oneof(fc.constantFrom(...BUCKETS, 0), fc.double({ min: 0, max: 10, noNaN: true })),
});

type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

function perform({ kind, labels, value }: Call, { counters, gauges, histograms }: ReturnType<typeof both>) {
  if (kind === "counters") for (const metric of counters) metric.inc(labels, value);
  if (kind === "gauges") for (const metric of gauges) metric.set(labels, value);
  if (kind === "histograms") for (const metric of histograms) metric.observe(labels, value);
}

/** All that a page says; the order of a line's labels says nothing. */
async function read(registry: prom.Registry) {
  const page = await registry.metrics();
  return { series: parseMetrics(page), comments: page.split("\n").filter((line) => line.startsWith("#")) };
}

describe("Fast metrics, when they are called as prom-client's are", () => {
  it("then the page says the same", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 60 }), async (calls) => {
        const metrics = both();
        for (const each of calls) perform(each, metrics);
        expect(await read(metrics.ours)).toEqual(await read(metrics.theirs));
        // A second time: what was kept for the first page must not show in the next one.
        for (const each of calls) perform(each, metrics);
        expect(await read(metrics.ours)).toEqual(await read(metrics.theirs));
      }),
      { numRuns: 200 },
    );
  });

  it("then a metric without labels is there before it was ever called", async () => {
    const registry = new prom.Registry();
    new Counter(registry, { name: "plain_total", help: "Help.", labels: [] });
    new Gauge(registry, { name: "plain", help: "Help.", labels: [] });
    expect(await registry.metrics()).toMatch(/^plain_total 0$/m);
    expect(await registry.metrics()).toMatch(/^plain 0$/m);
  });
});

describe("Fast metrics, when they are given what is no number", () => {
  it("then they neither throw nor count", async () => {
    const { ours, counters, histograms } = both();
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1, undefined as unknown as number]) {
      if (value !== undefined) counters[1].inc({ model: "m", status: 200 }, value);
      if (value !== -1) histograms[1].observe({ model: "m", status: 200 }, value);
    }
    expect(await ours.metrics()).toContain('a_total{color="blue",release="r1",model="m",status="200"} 0');
    expect(await ours.metrics()).toContain(
      'c_seconds_count{color="blue",release="r1",model="m",status="200"} 0',
    );
  });
});

describe("A gauge that is read at each scrape", () => {
  it("then shows what is told now, and nothing that was told before", async () => {
    const { ours, gauges } = both();
    let values = [1, 2];
    gauges[1].readFrom((set) => {
      for (const value of values) set({ model: `m${value}`, status: 200 }, value);
    });
    expect(await ours.metrics()).toMatch(/model="m1".*} 1\n.*model="m2".*} 2/);
    values = [2];
    expect(await ours.metrics()).not.toContain("m1");
  });
});

describe("A bounded label, when more values come than it may hold", () => {
  it("then the first ones stay as they are and all others are one", () => {
    const label = boundedLabel(2);
    expect(["a", "b", "c", "a", "d", "b"].map(label)).toEqual(["a", "b", "other", "a", "other", "b"]);
  });
});
