import { describe, expect, it } from "vitest";
import type { Figure, Measured, Sample } from "./measure.ts";
import { parseStat } from "./processes.ts";
import { aligned, toLines, toReport } from "./report.ts";
import { difference, middle, percentile, ratio, reached } from "./statistics.ts";
import { NAMES, type TargetName } from "./targets.ts";
import { parse } from "./wrk.ts";

function samples(target: TargetName, figure: Figure, values: readonly number[]): Sample[] {
  return values.map((value, round) => ({ target, figure, round, value }));
}

function measured(...groups: readonly Sample[][]): Measured {
  return { samples: groups.flat(), errors: { [NAMES.nginx]: 3 }, loadAverage: [0.5, 1] };
}

describe("the statistics of rounds", () => {
  it("gives the median, which one disturbed round does not move", () => {
    expect(middle([3, 1_000, 1])).toBe(3);
    expect(middle([1, 3])).toBe(2);
    expect(middle([])).toBeNaN();
  });

  it("compares the values of one round with each other, not the medians of all", () => {
    expect(ratio({ ours: [30, 60, 90], theirs: [300, 100, 200] })).toBeCloseTo(0.45);
    expect(difference({ ours: [52, 80, 45], theirs: [50, 77, 40] })).toBe(3);
  });

  it("leaves out rounds that only one of the two has", () => {
    expect(ratio({ ours: [30, 1_000], theirs: [100] })).toBeCloseTo(0.3);
  });

  it("gives percentiles", () => {
    const values = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(percentile(values, 0.99)).toBeCloseTo(99.01);
    expect(percentile(values.reverse(), 0.5)).toBe(50.5);
    expect(percentile([], 0.5)).toBeNaN();
  });

  it("reaches a goal at its very bound", () => {
    expect(reached(0.3, { at: "least", value: 0.3 })).toBe(true);
    expect(reached(0.29, { at: "least", value: 0.3 })).toBe(false);
    expect(reached(4, { at: "most", value: 4 })).toBe(true);
    expect(reached(4.1, { at: "most", value: 4 })).toBe(false);
  });
});

describe("the output of wrk", () => {
  const line = '{"requests":3000,"us":1500000,"errors":2,"p50":50500.0,"p99":61250.0}';

  it("is read from its last line", () => {
    expect(parse(`Running 3s test @ http://127.0.0.1:1/\n  1 threads\n${line}\n`)).toEqual({
      requests: 3_000,
      requestsPerSecond: 2_000,
      errors: 2,
      p50Ms: 50.5,
      p99Ms: 61.25,
    });
  });

  it("is refused when the script did not come to its end", () => {
    expect(() => parse("unable to connect to 127.0.0.1:1\n")).toThrow("unable to connect");
  });
});

describe("the CPU time of a process, from its stat line", () => {
  it("is user and system time, whatever the process is called", () => {
    const fields = "S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
    expect(parseStat(`42 (a) b (c) ${fields}`)).toBe(3);
  });
});

describe("the report of a gateway benchmark", () => {
  const report = toReport(
    measured(
      samples(NAMES.full, "requestsPerSecond", [30, 31]),
      samples(NAMES.nginx, "requestsPerSecond", [100, 100]),
      samples(NAMES.full, "p50Ms", [51.5, 51.5]),
      samples(NAMES.full, "cpuMicrosecondsPerRequest", [90, 60, 70]),
      samples(NAMES.model, "p50Ms", [50, 50]),
    ),
    [{ name: NAMES.portkey, missing: "fetch failed" }],
  );

  it("has each figure beside its goal", () => {
    const byWhat = Object.fromEntries(report.results.map((result) => [result.what, result]));
    expect(byWhat["requests/s to nginx's"]).toMatchObject({ value: 0.305, reached: true });
    expect(byWhat["added latency, p50 (ms)"]).toMatchObject({ value: 1.5, reached: false });
  });

  it("leaves a figure open where a peer was not measured, and says why", () => {
    const portkey = report.results.find(({ what }) => what.includes("Portkey"));
    expect(portkey).toMatchObject({ value: undefined, reached: undefined });
    expect(toLines(report)).toContain("not measured: Portkey, fetch failed");
  });

  it("has a row for every target that was measured, with its errors", () => {
    expect(report.rows.map(({ target }) => target)).toEqual([NAMES.full, NAMES.nginx, NAMES.model]);
    expect(report.rows[1]).toMatchObject({ figures: { requestsPerSecond: 100 }, errors: 3 });
  });

  it("takes CPU from the least disturbed round, and all else from the middle", () => {
    expect(report.rows[0]?.figures).toMatchObject({ requestsPerSecond: 30.5, cpuMicrosecondsPerRequest: 60 });
  });

  it("prints columns that line up", () => {
    expect(
      aligned([
        ["", "a", "long"],
        ["name", "10", "1"],
      ]),
    ).toEqual(["       a  long", "name  10     1"]);
  });
});
