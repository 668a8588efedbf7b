import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isBeyondBounds, quantile, shareAbove, wilson } from "../../../release/figures/statistics.ts";

describe("Wilson's interval", () => {
  // Values of the one-sided score interval at 95 %, computed by hand from its formula with z = 1.6449.
  test.each([
    [0, 50, 0, 0.0513],
    [0, 2700, 0, 0.001],
    [5, 100, 0.0245, 0.0994],
    [10, 10, 0.787, 1],
  ])("of %i in %i lies from %f to %f", (part, whole, lower, upper) => {
    const share = wilson(part, whole, 0.95);
    expect(share.lower).toBeCloseTo(lower, 3);
    expect(share.upper).toBeCloseTo(upper, 3);
  });

  test("of nothing seen is everything: from 0 to 1", () => {
    expect(wilson(0, 0, 0.95)).toMatchObject({ lower: 0, upper: 1 });
  });

  test("holds the estimate, and is narrower for more of the same and wider for more confidence", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (whole, rate) => {
          const part = Math.round(whole * rate);
          const [once, tenfold, surer] = [
            wilson(part, whole, 0.9),
            wilson(part * 10, whole * 10, 0.9),
            wilson(part, whole, 0.99),
          ];
          expect(once.lower).toBeLessThanOrEqual(once.estimate + 1e-12);
          expect(once.upper).toBeGreaterThanOrEqual(once.estimate - 1e-12);
          expect(tenfold.upper - tenfold.lower).toBeLessThan(once.upper - once.lower);
          expect(surer.upper - surer.lower).toBeGreaterThan(once.upper - once.lower);
        },
      ),
    );
  });

  test("holds the true share about as often as it says", () => {
    const rate = 0.02;
    let state = 42;
    const random = () => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return state / 2_147_483_648;
    };
    let above = 0;
    for (let trial = 0; trial < 2000; trial += 1) {
      let part = 0;
      for (let request = 0; request < 500; request += 1) if (random() < rate) part += 1;
      if (wilson(part, 500, 0.95).upper < rate) above += 1;
    }
    // 5 % of the trials may call the rate lower than it is.
    expect(above / 2000).toBeLessThan(0.07);
  });
});

describe("a histogram", () => {
  const histogram = { bounds: [0.1, 1, 2], counts: [50, 80, 90, 100] };

  test("tells a quantile as Prometheus does, straight within a bucket", () => {
    expect(quantile(histogram, 0.5)).toBeCloseTo(0.1);
    expect(quantile(histogram, 0.65)).toBeCloseTo(0.55);
    expect(quantile(histogram, 0.99)).toBe(2);
    expect(quantile({ bounds: [1], counts: [0, 0] }, 0.5)).toBeUndefined();
  });

  test.each([
    ["at the last bound", histogram, 0.9, false],
    ["above it", histogram, 0.91, true],
    [
      "below a last bound of infinity, but above the last finite one",
      { bounds: [1, Infinity], counts: [1, 2] },
      1,
      true,
    ],
    ["nowhere, as nothing was seen", { bounds: [1], counts: [0, 0] }, 0.5, false],
  ])("tells whether a quantile lies beyond its bounds: %s", (_name, seen, q, expected) => {
    expect(isBeyondBounds(seen, q)).toBe(expected);
  });

  test("tells the share above a bound, and takes what lies around another limit as above it", () => {
    expect(shareAbove(histogram, 1, 0.95).estimate).toBeCloseTo(0.2);
    expect(shareAbove(histogram, 1.5, 0.95).estimate).toBeCloseTo(0.2);
    expect(shareAbove(histogram, 0.05, 0.95).estimate).toBe(1);
  });
});
