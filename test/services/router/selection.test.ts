import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Traffic } from "../../../services/router/contract.ts";
import { bucketOf, chooseColor, colorOf } from "../../../services/router/selection.ts";

function traffic(green: number): Traffic {
  return {
    generation: 1,
    backends: {
      blue: { url: "http://127.0.0.1:1", weight: 100 - green },
      green: { url: "http://127.0.0.1:2", weight: green },
    },
  };
}

const percent = fc.integer({ min: 0, max: 100 });

describe("choosing a color", () => {
  test("a user, when asked again under the same weights, then gets the same color", () => {
    fc.assert(
      fc.property(fc.string(), percent, (user, green) => {
        expect(chooseColor(user, traffic(green))).toBe(chooseColor(user, traffic(green)));
      }),
    );
  });

  test("a user, when green's weight rises, then never moves from green to blue", () => {
    fc.assert(
      fc.property(fc.string(), percent, percent, (user, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        if (chooseColor(user, traffic(less)) === "green") {
          expect(chooseColor(user, traffic(more))).toBe("green");
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("20,000 users, when green has a weight, then its share is within 1.5 points of it", () => {
    for (const green of [1, 5, 25, 50, 90, 99]) {
      const users = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);
      const share = users.filter((user) => chooseColor(user, traffic(green)) === "green").length / 200;
      expect(Math.abs(share - green)).toBeLessThan(1.5);
    }
  });

  test("a known user, when the code changes, then keeps the bucket of the first release", () => {
    expect([bucketOf("user-1"), bucketOf("user-2"), bucketOf("")]).toEqual([1567, 1801, 3135]);
  });

  test("10,000 requests without a user, when green has 30, then about 30 percent go to green", () => {
    const colors = Array.from({ length: 10_000 }, () => chooseColor(undefined, traffic(30)));
    const share = colors.filter((color) => color === "green").length / 100;
    expect(Math.abs(share - 30)).toBeLessThan(3);
  });

  test("any bucket, when a color has weight 0 or is missing, then that color is not chosen", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9_999 }), (bucket) => {
        expect(colorOf(bucket, traffic(0))).toBe("blue");
        expect(colorOf(bucket, traffic(100))).toBe("green");
        expect(colorOf(bucket, { generation: 1, backends: {} })).toBeUndefined();
        const idle = { blue: { url: "http://127.0.0.1:1", weight: 0 } };
        expect(colorOf(bucket, { generation: 1, backends: idle })).toBeUndefined();
      }),
    );
  });
});
