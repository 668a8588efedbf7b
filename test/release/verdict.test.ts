import { describe, expect, test } from "vitest";
import { type Plan, STRATEGIES } from "../../release/contract/strategy.ts";
import type { Figures } from "../../release/figures/figures.ts";
import { type Evidence, judge, reasonsOf } from "../../release/verdict.ts";

const BOUNDS = [0.1, 0.5, 1, 2, 3, 5, 10];

/** Durations of which `slow` lie between 5 and 10 s and all others below 0.1 s. */
function durations(total: number, slow = 0) {
  const fast = total - slow;
  return { bounds: BOUNDS, counts: [fast, fast, fast, fast, fast, fast, total, total] };
}

interface Seen {
  requests?: number;
  failures?: number;
  slow?: number;
  complaints?: number;
  quality?: number;
  samples?: number;
}

function figures({
  requests = 10_000,
  failures = 0,
  slow = 0,
  complaints = 0,
  quality = 1,
  samples = 60,
}: Seen = {}): Figures {
  return {
    requests,
    failures,
    complaints,
    duration: durations(requests, slow),
    firstToken: durations(requests, slow),
    quality: { score: quality, samples },
  };
}

const plan = (name: "blue-green" | "canary"): Plan => STRATEGIES[name];

function evidence(own: Figures, overrides: Partial<Evidence> = {}): Evidence {
  const { stages, rollback, ...terms } = plan("blue-green");
  return {
    own,
    other: figures(),
    gates: stages[0]?.gates ?? {},
    limits: rollback,
    timeIsUp: true,
    patienceIsOver: false,
    terms,
    ...overrides,
  };
}

const decide = (own: Figures, overrides: Partial<Evidence> = {}) => {
  const verdict = judge(evidence(own, overrides));
  return [verdict.decision, reasonsOf(verdict).join("; ")] as const;
};

/** The gates and limits of a canary's stage. */
function canary(stage: number): Partial<Evidence> {
  const { stages, rollback, ...terms } = plan("canary");
  return { gates: stages[stage]?.gates ?? {}, limits: rollback, terms };
}

describe("a verdict by the switch criteria of blue-green", () => {
  test("all figures proven and the time up, then it promotes", () => {
    expect(decide(figures())[0]).toBe("promote");
  });

  test("all figures proven before the time is up, then it holds and says that it watches on", () => {
    expect(decide(figures(), { timeIsUp: false })).toEqual(["hold", "the stage is watched for longer"]);
  });

  test("nothing asked for and the time up, then it promotes and says so", () => {
    expect(decide(figures(), { gates: {} })).toEqual(["promote", "nothing is asked for"]);
  });

  test("an error rate of 0.1 % by 50 requests without an error, then it is not proven and holds", () => {
    const [decision, reason] = decide(figures({ requests: 50 }));
    expect(decision).toBe("hold");
    expect(reason).toMatch(/errors 0 of 50 .*not proven yet/);
  });

  test("fewer requests than the least sample, then it says how many are missing", () => {
    expect(decide(figures({ requests: 49 }))[1]).toMatch(/only 49 of at least 50/);
  });

  test("fewer requests than the least sample that all failed, then it holds as well", () => {
    expect(decide(figures({ requests: 49, failures: 49 }), { patienceIsOver: true })[0]).toBe("hold");
  });

  test.each([
    ["2600 requests without an error do not prove 0.1 %", 2600, "hold"],
    ["2800 requests without an error do", 2800, "promote"],
  ])("%s", (_name, requests, expected) => {
    expect(decide(figures({ requests }))[0]).toBe(expected);
  });

  test("an error rate proven above 1 %, then it rolls back, also before the time is up", () => {
    const [decision, reason] = decide(figures({ requests: 1000, failures: 30 }), { timeIsUp: false });
    expect(decision).toBe("roll back");
    expect(reason).toMatch(/errors 30 of 1000 \(3 %\), limit 1 %: ends the release/);
  });

  test("more than 1 % of few requests failed, but it may be chance, then it holds", () => {
    expect(decide(figures({ requests: 60, failures: 1 }))[0]).toBe("hold");
  });

  test("a response time proven above 2 s, then it holds, and rolls back once the patience is over", () => {
    const slow = figures({ slow: 2000 });
    expect(decide(slow)[0]).toBe("hold");
    const [decision, reason] = decide(slow, { patienceIsOver: true });
    expect(decision).toBe("roll back");
    expect(reason).toMatch(/response p95 .* limit 2 s: too much/);
  });

  test("4 % slow requests of many, then the p95 is good enough", () => {
    expect(decide(figures({ slow: 400 }))[0]).toBe("promote");
  });

  test("a quality not proven above 0.85, then it holds, however long it takes", () => {
    expect(decide(figures({ quality: 0.9, samples: 20 }), { patienceIsOver: true })[0]).toBe("hold");
    const alike = { other: figures({ quality: 0.86 }), patienceIsOver: true };
    expect(decide(figures({ quality: 0.86, samples: 1000 }), alike)[0]).toBe("hold");
    expect(decide(figures({ quality: 0.9, samples: 1000 }))[0]).toBe("promote");
  });

  test("a quality 10 % below that of the color before, then it rolls back", () => {
    const [decision, reason] = decide(figures({ quality: 0.6, samples: 60 }));
    expect(decision).toBe("roll back");
    expect(reason).toMatch(/quality 0.60 over 60 answers, at least 0.90: ends the release/);
  });

  test("complaints on more than 1 % of the requests, then it rolls back", () => {
    expect(decide(figures({ complaints: 300 }))).toEqual([
      "roll back",
      "complaints 300 on 10000 requests, limit 1 %: ends the release",
    ]);
  });
});

describe("what is unknown", () => {
  test.each(["requests", "duration", "quality"] as const)(
    "%s, then it holds, whatever else is proven",
    (name) => {
      const own = { ...figures(), [name]: undefined, ...(name === "requests" && { failures: undefined }) };
      const [decision, reason] = decide(own, { patienceIsOver: true });
      expect(decision).toBe("hold");
      expect(reason).toMatch(/unknown/);
    },
  );

  // All that the limits of a canary ask for, and its first stage does not.
  test.each([
    ["complaints", { ...figures(), complaints: undefined }],
    ["response p95", { ...figures(), duration: undefined }],
    ["quality", { ...figures(), quality: undefined }],
  ])("%s that only a limit asks for, then it holds and says which", (name, own) => {
    expect(decide(own, canary(0))).toEqual(["hold", `${name} unknown`]);
  });

  test.each(["requests", "failures"] as const)(
    "%s of errors that only a limit asks for, then it holds",
    (name) => {
      const own = { ...figures(), [name]: undefined };
      expect(decide(own, { gates: {}, limits: { errorRate: 0.01 } })).toEqual(["hold", "errors unknown"]);
    },
  );

  test("requests that a limit on complaints rests on, then it holds", () => {
    const limits = { complaintRate: 0.01 };
    const own = { ...figures(), requests: undefined };
    expect(decide(own, { gates: {}, limits })).toEqual(["hold", "complaints unknown"]);
  });

  test("quality of the color before, then it holds and says so, unless no limit asks for it", () => {
    const other = { ...figures(), quality: undefined };
    expect(decide(figures(), { other })).toEqual(["hold", "quality of the color before unknown"]);
    const { qualityDrop: _, ...limits } = plan("blue-green").rollback;
    expect(decide(figures(), { other, limits })[0]).toBe("promote");
  });

  test("quality of both colors, then both are named", () => {
    const unknown = { ...figures(), quality: undefined };
    expect(decide(unknown, { ...canary(0), other: unknown })).toEqual([
      "hold",
      "quality unknown; quality of the color before unknown",
    ]);
  });

  test("a figure that both a gate and a limit ask for, then it is found once", () => {
    const { findings } = judge(
      evidence({ ...figures(), duration: undefined, quality: undefined }, canary(2)),
    );
    const unknown = findings.filter(({ state }) => state === "unknown").map(({ figure }) => figure);
    expect(unknown.sort()).toEqual(["quality", "response p95"]);
  });

  test("one figure while another is proven above its limit, then it rolls back all the same", () => {
    expect(decide(figures({ failures: 300 }), { other: {} })[0]).toBe("roll back");
  });

  test("nothing known at all, then it holds", () => {
    expect(decide({}, { patienceIsOver: true })[0]).toBe("hold");
  });
});

describe("a comparison with the color before", () => {
  test("errors within the limit but proven more than before, then it holds, and rolls back in the end", () => {
    const worse = figures({ requests: 100_000, failures: 60 });
    const [decision, reason] = decide(worse);
    expect(decision).toBe("hold");
    expect(reason).toMatch(/worse than before/);
    expect(decide(worse, { patienceIsOver: true })[0]).toBe("roll back");
    expect(decide(worse, { other: figures({ requests: 100_000, failures: 60 }) })[0]).toBe("promote");
  });

  /** Good figures with these durations, by how many lie below each bound. */
  const inBuckets = (bounds: number[], ...counts: number[]) => ({
    ...figures(),
    duration: { bounds, counts },
  });

  test("a p95 within the limit but proven more than twice as long, then it holds, and rolls back in the end", () => {
    const slower = inBuckets([0.1, 0.5, 1], 0, 0, 10_000, 10_000);
    expect(decide(slower)).toEqual([
      "hold",
      "response p95 above 500 ms, the color before had at most 100 ms: more than 2 times as long",
    ]);
    expect(decide(slower, { patienceIsOver: true })[0]).toBe("roll back");
  });

  test("9.9 ms before and 10.1 ms on the other side of a bucket's bound, then it is as fast", () => {
    const bounds = [0.005, 0.01, 0.025];
    const [before, after] = [inBuckets(bounds, 0, 100, 100, 100), inBuckets(bounds, 0, 0, 100, 100)];
    expect(decide(after, { other: before, gates: { p95Seconds: 1 } })[0]).toBe("promote");
  });

  test.each([
    ["8 of 100 may be chance", 92, "promote"],
    ["12 of 100 are proven more than 5 %", 88, "hold"],
  ])("requests that take more than twice as long: %s", (_name, fast, expected) => {
    const own = inBuckets([0.1, 0.2, 1], fast, fast, 100, 100);
    const other = inBuckets([0.1, 0.2, 1], 1000, 1000, 1000, 1000);
    expect(decide(own, { other, gates: {} })[0]).toBe(expected);
  });

  test.each([
    [2, "promote"],
    [1.4, "hold"],
  ])("a p95 of up to twice as long, then by a slowdown of %f it is to %s", (slowdown, expected) => {
    const own = inBuckets([0.1, 0.15, 0.2], 0, 0, 100, 100);
    const other = inBuckets([0.1, 0.15, 0.2], 100, 100, 100, 100);
    const terms = { ...plan("blue-green"), slowdown };
    expect(decide(own, { other, gates: {}, terms })[0]).toBe(expected);
  });

  test("a color before whose p95 is not proven below the bound that it was seen below, then the next counts", () => {
    const own = inBuckets([0.1, 0.2, 1], 50, 50, 100, 100);
    const against = (fast: number) => ({ other: inBuckets([0.1, 0.2, 1], fast, 100, 100, 100), gates: {} });
    expect(decide(own, against(100))[0]).toBe("hold");
    expect(decide(own, against(96))[0]).toBe("promote");
  });

  test("both beyond all bounds, then there is nothing to compare", () => {
    const beyond = inBuckets([0.1, 0.2], 0, 0, 100);
    expect(decide(beyond, { other: beyond, gates: {}, limits: {} })[0]).toBe("promote");
  });

  test.each([
    ["this one", 49, 1000],
    ["the color before", 1000, 49],
  ])("fewer than the least requests on %s, then the p95 is not compared", (_name, ours, theirs) => {
    const terms = { ...plan("blue-green"), confidence: 0.51 };
    const own = inBuckets([0.1, 0.2, 1], 0, 0, ours, ours);
    const other = inBuckets([0.1, 0.2, 1], theirs, theirs, theirs, theirs);
    const decided = (minimumRequests: number) =>
      decide(own, { other, gates: {}, limits: {}, terms: { ...terms, minimumRequests } })[0];
    expect(decided(50)).toBe("promote");
    expect(decided(49)).toBe("hold");
  });

  test("too few requests on the color before, then it is not compared", () => {
    expect(
      decide(figures({ requests: 100_000, failures: 60 }), { other: figures({ requests: 49 }) })[0],
    ).toBe("promote");
  });
});

describe("what a verdict says", () => {
  test("a share that is small but not 0, then it does not read as 0 %", () => {
    const { findings } = judge(evidence(figures({ requests: 100_000, failures: 4 })));
    expect(findings[0]?.text).toBe("errors 4 of 100000 (<0.01 %), limit 0.1 %: proven");
  });

  test.each([
    ["beyond the last bound, then it is more than that", [0, 0, 100], "> 2.00 s"],
    ["within the last bound, then it is told as it is", [0, 100, 100], "1.95 s"],
    ["of nothing, then it is not told", [0, 0, 0], "–"],
  ])("a p95 %s", (_name, counts, told) => {
    const own = { ...figures(), duration: { bounds: [1, 2], counts } };
    const { findings } = judge(evidence(own, { gates: { p95Seconds: 1 }, limits: {} }));
    expect(findings[0]?.text).toContain(`response p95 ${told} over ${counts.at(-1)} requests, limit 1 s`);
  });
});

describe("a verdict on a canary's stages", () => {
  test("the first stage asks for errors below 0.5 % alone, while the limits' figures are known", () => {
    const poor = figures({ quality: 0.5, slow: 2000 });
    expect(decide(poor, { ...canary(0), other: poor })[0]).toBe("promote");
    expect(decide(figures({ failures: 60 }), canary(0))[0]).toBe("hold");
  });

  test("the second asks for a quality above 0.8, too", () => {
    const poor = figures({ quality: 0.5 });
    expect(decide(poor, { ...canary(1), other: poor })[0]).toBe("hold");
    expect(decide(figures(), canary(1))[0]).toBe("promote");
  });

  test("the third asks for a response time below 3 s, too", () => {
    expect(decide(figures({ slow: 2000 }), canary(1))[0]).not.toBe("roll back");
    expect(decide(figures({ slow: 2000 }), canary(2))[0]).toBe("hold");
  });

  test.each([
    ["errors proven above 2 %", figures({ failures: 300 })],
    [
      "a p95 above 10 s",
      { ...figures(), duration: { bounds: BOUNDS, counts: [0, 0, 0, 0, 0, 0, 0, 10_000] } },
    ],
    ["a quality 15 % below", figures({ quality: 0.7 })],
  ])("%s, then it rolls back at the first stage", (_name, own) => {
    expect(decide(own, { ...canary(0), timeIsUp: false })[0]).toBe("roll back");
  });
});
