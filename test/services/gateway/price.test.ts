import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { billingOf, costOf, priceTable, toPrice, toTokens } from "../../../services/gateway/cost/price.ts";
import { costSettings } from "../../../services/gateway/cost/settings.ts";
import { parseSettings } from "../../../services/gateway/settings.ts";

const tokens = fc.record({
  promptTokens: fc.nat(2_000_000),
  cachedPromptTokens: fc.nat(2_000_000),
  completionTokens: fc.nat(200_000),
});
// USD per million tokens with up to 6 decimals, as millionths.
const millionths = fc.nat(1_000_000_000);

describe("the cost of tokens", () => {
  test("is exact to the billionth of a dollar, rounded once", () => {
    fc.assert(
      fc.property(tokens, millionths, millionths, millionths, (used, prompt, cached, completion) => {
        const price = toPrice({
          promptUsd: prompt / 1e6,
          cachedPromptUsd: cached / 1e6,
          completionUsd: completion / 1e6,
        });
        const hit = Math.min(used.cachedPromptTokens, used.promptTokens);
        const pico =
          BigInt(used.promptTokens - hit) * BigInt(prompt) +
          BigInt(hit) * BigInt(cached) +
          BigInt(used.completionTokens) * BigInt(completion);
        expect(BigInt(costOf(used, price))).toBe((pico + 500n) / 1_000n);
      }),
      { numRuns: 1_000 },
    );
  });

  test("of a list price: 1,000 prompt tokens of which 400 are cached, and 100 generated ones", () => {
    const price = toPrice({ promptUsd: 0.15, cachedPromptUsd: 0.0375, completionUsd: 0.6 });
    const used = { promptTokens: 1_000, cachedPromptTokens: 400, completionTokens: 100 };
    // 600 x 150 + 400 x 37.5 + 100 x 600 billionths.
    expect(costOf(used, price)).toBe(165_000);
  });

  test("of cached tokens is that of others where nothing else is said", () => {
    const price = toPrice({ promptUsd: 2 });
    expect(costOf({ promptTokens: 10, cachedPromptTokens: 10, completionTokens: 5 }, price)).toBe(20_000);
  });

  test("on own nodes follows from their price and what they can do in an hour", () => {
    const selfHosted = {
      nodeHourUsd: 3.6,
      nodes: 2,
      tokensPerSecond: 2_000,
      completionWeight: 4,
      cachedWeight: 0,
    };
    const price = toPrice({ selfHosted });
    // Two nodes take 7,200,000 prompt tokens in an hour, for 7.20 USD: a millionth for each.
    const used = { promptTokens: 7_200_000, cachedPromptTokens: 0, completionTokens: 0 };
    expect(costOf(used, price)).toBe(7_200_000_000);
    expect(costOf({ promptTokens: 100, cachedPromptTokens: 100, completionTokens: 1 }, price)).toBe(4_000);
  });
});

describe("tokens as a backend tells them", () => {
  test.each([
    [undefined, 0],
    ["7", 0],
    [-1, 0],
    [Number.NaN, 0],
    [3.9, 3],
    [1e300, 2_147_483_647],
  ])("%j count as %d", (told, counted) => {
    expect(toTokens(told)).toBe(counted);
  });
});

describe("the settings of costs", () => {
  const problems = (cost: unknown) => parseSettings(JSON.stringify({ cost }), "FILE").problems;

  test("are worked out once for each version of them", () => {
    const settings = costSettings.parse({ prices: { m: { promptUsd: 1 } } });
    expect(priceTable(settings)).toBe(priceTable(settings));
    expect(priceTable(costSettings.parse({}))).not.toBe(priceTable(settings));
  });

  test("give a tenant its own currency and tax, and all others the default", () => {
    const twd = { code: "TWD", perUsd: 32 };
    const settings = costSettings.parse({ currency: twd, taxPercent: 5, tenants: { a: { taxPercent: 0 } } });
    expect(billingOf(settings, "a")).toEqual({ currency: "TWD", perUsd: 32, taxPercent: 0 });
    expect(billingOf(settings, "toString")).toEqual({ currency: "TWD", perUsd: 32, taxPercent: 5 });
    expect(billingOf(costSettings.parse({}), undefined)).toEqual({
      currency: "USD",
      perUsd: 1,
      taxPercent: 0,
    });
  });

  test("are told every problem at once, and none of their values", () => {
    const found = problems({
      prices: {
        none: {},
        both: { promptUsd: 1, selfHosted: { nodeHourUsd: 1, tokensPerSecond: 1 } },
        odd: { promptUsd: 0.12345678 },
        negative: { promptUsd: -31337 },
        free: { selfHosted: { nodeHourUsd: 0, tokensPerSecond: 1 } },
      },
      currency: { code: "dollar31337", perUsd: 1 },
      taxPercent: 101,
      journal: { maxBytes: 1 },
    });
    expect(found.map(({ field }) => field)).toEqual([
      "FILE.cost.prices.none",
      "FILE.cost.prices.both",
      "FILE.cost.prices.odd.promptUsd",
      "FILE.cost.prices.negative.promptUsd",
      "FILE.cost.prices.free.selfHosted.nodeHourUsd",
      "FILE.cost.currency.code",
      "FILE.cost.taxPercent",
      "FILE.cost.journal.maxBytes",
    ]);
    expect(JSON.stringify(found)).not.toContain("31337");
  });
});
