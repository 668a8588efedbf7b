import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { downsample, type Point } from "../../../release/report/downsample.ts";
import type { Sample } from "../../../release/samples.ts";
import { colorSample, heightOf, linesOf, plotOf, sampleAt } from "./support.ts";

const ERRORS = "Failed requests";
const P95 = "Time of whole requests";
const SHARE = "Share of the traffic";
const QUALITY = "Quality";

/** Samples a second apart, with green's share of failed requests. */
const withErrors = (rates: (number | null)[]): Sample[] =>
  rates.map((errorRate, second) => sampleAt(second, { colors: { green: colorSample({ errorRate }) } }));

const labelsOf = (plot: string, kind: "stage" | "decision") =>
  [...plot.matchAll(new RegExp(`<text class="label ${kind}"[^>]*>([^<]*)</text>`, "gu"))].map(
    ([, text]) => text,
  );

const marksOf = (plot: string, kind: "stage" | "decision") =>
  [...plot.matchAll(new RegExp(`<line class="mark ${kind}"[^>]*><title>([^<]*)</title>`, "gu"))].map(
    ([, text]) => text,
  );

describe("lines", () => {
  test("a few samples are a point each, at the height of their value", () => {
    const plot = plotOf({ samples: withErrors([0, 0.02, 0.05, 0.01]) }, ERRORS);
    const [line = [], ...more] = linesOf(plot, "green");
    expect(more).toEqual([]);
    expect(line.map(([, y]) => y)).toEqual(
      [0, 0.02, 0.05, 0.01].map((rate) => expect.closeTo(heightOf(plot, rate), 0)),
    );
    expect(line.map(([x]) => x)).toEqual(line.map(([x]) => x).toSorted((a, b) => a - b));
  });

  test("an unknown figure is a gap, and none of its neighbours is lost", () => {
    const plot = plotOf({ samples: withErrors([0.01, 0.01, null, null, 0.02, null, 0.03]) }, ERRORS);
    expect(linesOf(plot, "green").map(({ length }) => length)).toEqual([2, 1, 1]);
  });

  test("a color that was not looked at has no line", () => {
    const plot = plotOf({ samples: withErrors([0.01, 0.02]) }, ERRORS);
    expect(linesOf(plot, "blue")).toEqual([]);
  });

  test("a figure that nobody knows is said to be unknown", () => {
    const samples = [sampleAt(0, { colors: { green: colorSample({ quality: null }) } })];
    expect(plotOf({ samples }, QUALITY)).toContain("No figures are known.");
    expect(plotOf({ samples }, ERRORS)).not.toContain("No figures are known.");
  });

  test("one sample is a point within the plot, whose time took nothing", () => {
    const plot = plotOf({ samples: withErrors([0.02]), endedAt: sampleAt(0).at }, ERRORS);
    const [[[x, y] = []] = []] = linesOf(plot, "green");
    expect(x).toBeGreaterThan(100);
    expect(y).toBeCloseTo(heightOf(plot, 0.02), 0);
  });

  test("weights hold until they change: no slope pretends a share that never was", () => {
    const samples = [0, 0, 100, 100].map((green, second) =>
      sampleAt(second * 10, { weights: { blue: 100 - green, green } }),
    );
    const [line = []] = linesOf(plotOf({ samples }, SHARE), "green");
    const heights = new Set(line.map(([, y]) => y));
    expect(heights.size).toBe(2);
    const slopes = line.slice(1).filter(([x, y], index) => x !== line[index]?.[0] && y !== line[index]?.[1]);
    expect(slopes).toEqual([]);
  });

  test("samples that come out of order are drawn in order", () => {
    const samples = withErrors([0.01, 0.02, 0.03]).toReversed();
    const [line = []] = linesOf(plotOf({ samples }, ERRORS), "green");
    expect(line.map(([x]) => x)).toEqual(line.map(([x]) => x).toSorted((a, b) => a - b));
  });
});

describe("10,000 samples", () => {
  test("a single spike of errors keeps its height", () => {
    const rates = Array.from({ length: 10_000 }, () => 0);
    rates[6_789] = 0.4;
    const plot = plotOf({ samples: withErrors(rates) }, ERRORS);
    const [line = []] = linesOf(plot, "green");
    expect(Math.min(...line.map(([, y]) => y))).toBeCloseTo(heightOf(plot, 0.4), 0);
  });

  test("a single dip of quality keeps its depth", () => {
    const samples = Array.from({ length: 10_000 }, (_, second) =>
      sampleAt(second, { colors: { green: colorSample({ quality: second === 4_321 ? 0.1 : 0.9 }) } }),
    );
    const plot = plotOf({ samples }, QUALITY);
    const [line = []] = linesOf(plot, "green");
    expect(Math.max(...line.map(([, y]) => y))).toBeCloseTo(heightOf(plot, 0.1), 0);
  });

  test("no more points are drawn than the pixels can show", () => {
    const samples = withErrors(Array.from({ length: 10_000 }, (_, second) => ((second * 7919) % 100) / 1000));
    const points = linesOf(plotOf({ samples }, ERRORS), "green").flat();
    expect(points.length).toBeGreaterThan(700);
    expect(points.length).toBeLessThan(4 * 760);
  });

  test("a gap of one sample stays a gap", () => {
    const rates: (number | null)[] = Array.from({ length: 10_000 }, () => 0.01);
    rates[5_000] = null;
    expect(linesOf(plotOf({ samples: withErrors(rates) }, ERRORS), "green")).toHaveLength(2);
  });
});

test("downsampling keeps each pixel's extremes and every gap, and invents nothing", () => {
  const y = fc.option(fc.integer({ min: 0, max: 1000 }), { freq: 4 });
  const points = fc
    .array(fc.record({ x: fc.double({ min: 0, max: 20, noNaN: true }), y }), { maxLength: 400 })
    .map((list): Point[] => list.sort((a, b) => a.x - b.x));
  const runs = (list: Point[]) =>
    list
      .map((point) => (point.y === null ? "|" : "-"))
      .join("")
      .replaceAll(/\|+/gu, "|")
      .replaceAll(/-+/gu, "-");
  const extremes = (list: Point[]) => {
    const found = new Map<number, [number, number]>();
    for (const { x, y: value } of list) {
      if (value === null) continue;
      const [low, high] = found.get(Math.floor(x)) ?? [value, value];
      found.set(Math.floor(x), [Math.min(low, value), Math.max(high, value)]);
    }
    return found;
  };
  fc.assert(
    fc.property(points, (list) => {
      const kept = downsample(list);
      expect(kept.filter((point) => !list.includes(point))).toEqual([]);
      expect(extremes(kept)).toEqual(extremes(list));
      // What joins two kept points was joined before.
      for (const [index, point] of kept.entries()) {
        const next = kept[index + 1];
        if (!next || point.y === null || next.y === null) continue;
        expect(runs(list.slice(list.indexOf(point), list.indexOf(next) + 1))).toBe("-");
      }
    }),
  );
});

describe("axes", () => {
  test("begin at zero and reach over the highest value of both colors", () => {
    const samples = [
      sampleAt(0, {
        colors: { blue: colorSample({ p95Seconds: 3.7 }), green: colorSample({ p95Seconds: 0.2 }) },
      }),
      sampleAt(1),
    ];
    const plot = plotOf({ samples }, P95);
    const heights = linesOf(plot, "blue")
      .flat()
      .map(([, y]) => y);
    expect(heightOf(plot, 3.7)).toBeCloseTo(Math.min(...heights), 0);
    expect(plot).toMatch(/<text class="tick"[^>]*>0</u);
    expect(plot).toMatch(/<text class="tick"[^>]*>4</u);
  });

  test("tell each second once, however short the release", () => {
    const plot = plotOf({ samples: [sampleAt(0)], endedAt: sampleAt(2).at }, P95);
    const times = [...plot.matchAll(/>(08:\d\d:\d\d)</gu)].map(([, text]) => text);
    expect(times).toEqual(["08:00:00", "08:00:01", "08:00:02"]);
  });

  test("tell the time of day, and of more than a day the date, too", () => {
    expect(plotOf({ samples: [sampleAt(0), sampleAt(60)], endedAt: sampleAt(60).at }, P95)).toContain(
      ">08:00:30<",
    );
    const days = [sampleAt(0), sampleAt(3 * 86_400)];
    expect(plotOf({ samples: days, endedAt: sampleAt(3 * 86_400).at }, P95)).toContain(">22 Nov 12:00<");
  });
});

describe("marks", () => {
  const stages = ["deploying green", "deploying green", "stage 1 of 2", "stage 2 of 2", "stage 2 of 2"];
  const samples = stages.map((stage, index) => sampleAt(index * 20, { stage }));
  const endedAt = sampleAt(80).at;

  test("stand where a stage begins, with its name", () => {
    const plot = plotOf({ samples, endedAt }, ERRORS);
    expect(labelsOf(plot, "stage")).toEqual(["deploying green", "stage 1 of 2", "stage 2 of 2"]);
    expect(marksOf(plot, "stage")).toEqual([
      "deploying green, from 2026-11-21 08:00:00 UTC",
      "stage 1 of 2, from 2026-11-21 08:00:40 UTC",
      "stage 2 of 2, from 2026-11-21 08:01:00 UTC",
    ]);
  });

  test("stand where a decision was made, by its number in the table", () => {
    const decisions = [
      { at: sampleAt(10).at, kind: "shifted", text: "25 % to green" },
      { at: sampleAt(70).at, kind: "rolled-back", text: "errors" },
    ];
    const plot = plotOf({ samples, endedAt, decisions }, ERRORS);
    expect(labelsOf(plot, "decision")).toEqual(["1 shifted", "2 rolled back"]);
    expect(marksOf(plot, "decision")[1]).toBe("2 rolled back, 2026-11-21 08:01:10 UTC: errors");
  });

  test("of decisions in the same moment share a label", () => {
    const decisions = ["requested", "deployed", "shifted"].map((kind) => ({
      at: sampleAt(10).at,
      kind,
      text: "",
    }));
    const plot = plotOf({ samples, endedAt, decisions }, ERRORS);
    expect(labelsOf(plot, "decision")).toEqual(["1–3 shifted"]);
    expect(marksOf(plot, "decision")).toHaveLength(3);
  });

  test("of decisions after the plot's end are left out", () => {
    const decisions = [{ at: sampleAt(9_000).at, kind: "removed", text: "" }];
    expect(marksOf(plotOf({ samples, endedAt, decisions }, ERRORS), "decision")).toEqual([]);
  });
});

test("a plot says in words what it shows", () => {
  const plot = plotOf({ samples: withErrors([0, 0.05, 0.01]) }, ERRORS);
  expect(plot).toContain("<desc>blue: highest –, – at the end; green: highest 5 %, 1 % at the end</desc>");
  expect(plot).toContain('role="img" aria-label="Failed requests. blue: highest –');
});
