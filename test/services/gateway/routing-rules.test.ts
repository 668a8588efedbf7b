import { describe, expect, test } from "vitest";
import { hashText, loadBound, rendezvousScore } from "../../../services/gateway/routing/affinity.ts";
import { classify, complexityOf, promptStart } from "../../../services/gateway/routing/complexity.ts";
import { hybridSide, raised } from "../../../services/gateway/routing/hybrid.ts";
import { allowedRegions, isAllowed } from "../../../services/gateway/routing/residency.ts";
import { settingsSchema } from "../../../services/gateway/settings.ts";
import type { Tenant } from "../../../services/gateway/tenancy/principal.ts";

describe("the hybrid rule", () => {
  const settings = settingsSchema.parse({ routing: { hybrid: { h: { local: "l", external: "e" } } } });
  const figures = settings.routing.hybrid.h ?? expect.fail("no hybrid");
  const idle = { complexity: 0.1, tier: "bronze", load: 0, draw: 0.5 } as const;

  test.each([
    [
      "high sensitivity stays, whatever else",
      { ...idle, sensitivity: "high", complexity: 1, tier: "gold", load: 2, draw: 0 },
      "local",
    ],
    [
      "complex work of gold goes",
      { ...idle, sensitivity: "medium", complexity: 0.81, tier: "gold" },
      "external",
    ],
    [
      "complexity of 0.8 is not above it",
      { ...idle, sensitivity: "medium", complexity: 0.8, tier: "gold" },
      "local",
    ],
    [
      "complex work of silver stays",
      { ...idle, sensitivity: "medium", complexity: 0.9, tier: "silver" },
      "local",
    ],
    ["complex work of bronze stays", { ...idle, sensitivity: "medium", complexity: 0.9 }, "local"],
    ["a busy local side sends medium out", { ...idle, sensitivity: "medium", load: 0.86 }, "external"],
    ["a busy local side sends low out", { ...idle, sensitivity: "low", load: 0.86, draw: 0.99 }, "external"],
    ["load of 0.85 is not above it", { ...idle, sensitivity: "medium", load: 0.85 }, "local"],
    ["a busy local side keeps high", { ...idle, sensitivity: "high", load: 0.99 }, "local"],
    ["low: 10 % go", { ...idle, sensitivity: "low", draw: 0.099 }, "external"],
    ["low: 90 % stay", { ...idle, sensitivity: "low", draw: 0.1 }, "local"],
    ["medium stays, whatever is drawn", { ...idle, sensitivity: "medium", draw: 0 }, "local"],
  ] as const)("%s", (_, input, side) => {
    expect(hybridSide(input, figures)).toBe(side);
  });

  test.each([
    ["low", undefined, "low"],
    ["low", "high", "high"],
    ["high", "low", "high"],
    ["medium", "low", "medium"],
    ["medium", "high", "high"],
  ] as const)("a tenant's %s, when the request says %s, is %s", (tenant, request, expected) => {
    expect(raised(tenant, request)).toBe(expected);
  });
});

function chat(content: unknown, extra: object = {}) {
  return { model: "m", messages: [{ role: "user", content }], ...extra };
}

describe("complexity", () => {
  test("of a greeting is next to nothing, of a long reasoned task with tools and turns 1", () => {
    expect(complexityOf(chat("Hi"))).toBeLessThan(0.02);
    const turns = Array.from({ length: 19 }, () => ({ role: "assistant", content: "word ".repeat(100) }));
    const task = { role: "user", content: "Analyse, compare and design this step by step." };
    const request = { model: "m", messages: [...turns, task], tools: [{ type: "function" }] };
    expect(complexityOf(request)).toBe(1);
  });

  test.each([
    ["length", chat("x".repeat(8_000)), 0.35],
    ["machinery by tools", chat("", { tools: [{}] }), 0.2],
    ["machinery by a schema", chat("", { response_format: { type: "json_schema" } }), 0.2],
    ["cues, each counted once", chat("compare compare Compare"), 0.1],
    ["cues in Chinese", chat("請比較並分析"), 0.2],
    ["words that only look like cues", chat("explanatory replanning"), 0],
  ])("counts %s", (_, request, expected) => {
    const turn = 0.15 / 20;
    expect(Math.abs(complexityOf(request) - turn - expected)).toBeLessThan(0.002);
  });

  test("takes parts of text, prompts and inputs, and survives anything else", () => {
    const parts = [{ type: "text", text: "x".repeat(8_000) }, { type: "image_url" }, null, 7];
    expect(complexityOf(chat(parts))).toBeGreaterThan(0.3);
    expect(complexityOf({ model: "m", prompt: "x".repeat(8_000) } as { model: string })).toBeGreaterThan(0.3);
    for (const messages of [[null], [7], [{ role: "user" }], "x", [{ role: "user", content: {} }]])
      expect(complexityOf({ model: "m", messages } as { model: string })).toBeLessThan(0.2);
  });
});

test.each([
  ["What is the capital of France?", "simple"],
  ["Why is this cheaper? Analyse and compare both, then evaluate a design, step by step.", "complex"],
  ["```\nx = 1\n```", "code"],
  ["function add(a, b) { return a + b }", "code"],
  ["Write a regex for dates", "code"],
  ["Please refactor this", "code"],
  ["請寫一段程式碼", "code"],
])("'%s' is %s work", (content, kind) => {
  expect(classify(chat(content), 0.3)).toBe(kind);
});

test("what is above the bound is complex, what is at it is simple", () => {
  const request = chat("Analyse and compare");
  const score = complexityOf(request);
  expect(classify(request, score - 0.001)).toBe("complex");
  expect(classify(request, score)).toBe("simple");
});

describe("affinity", () => {
  const seeds = ["replica-0", "replica-1", "replica-2", "replica-3"].map(hashText);
  const own = (prompt: number, among: readonly number[]) =>
    among.reduce((best, seed) =>
      rendezvousScore(prompt, seed) > rendezvousScore(prompt, best) ? seed : best,
    );
  const prompts = Array.from({ length: 4_000 }, (_, index) => hashText(`prompt ${index}`));

  test("when prompts are many, then each replica is the own one of about as many", () => {
    const counts = seeds.map((seed) => prompts.filter((prompt) => own(prompt, seeds) === seed).length);
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });

  test("when a replica goes, then only its prompts move", () => {
    const [gone, ...rest] = seeds;
    for (const prompt of prompts) {
      const before = own(prompt, seeds);
      if (before !== gone) expect(own(prompt, rest)).toBe(before);
    }
  });

  test.each([
    [0, 4, 1.25, 1],
    [10, 2, 1.25, 7],
    [100, 4, 1.25, 32],
  ])(
    "with %i requests on %i replicas and factor %d, then one may have %i",
    (outstanding, count, factor, bound) => {
      expect(loadBound(outstanding, count, factor)).toBe(bound);
    },
  );

  test("a prompt's beginning is that of all its messages, and no more than asked for", () => {
    const messages = [
      { role: "system", content: "abc" },
      { role: "user", content: [{ type: "text", text: "def" }] },
    ];
    expect(promptStart({ model: "m", messages } as { model: string }, 5)).toBe("abcde");
    expect(promptStart({ model: "m", messages } as { model: string }, 50)).toBe("abcdef");
  });
});

describe("residency", () => {
  const { residency } = settingsSchema.parse({ residency: { eu: ["eu", "ch"] } });
  const tenant = (region: string | undefined) => ({ region }) as Tenant;

  test.each([
    [undefined, "anywhere", true],
    [undefined, undefined, true],
    ["taiwan", "taiwan", true],
    ["taiwan", "asia-pacific", true],
    ["taiwan", "us", false],
    ["taiwan", undefined, false],
    ["eu", "ch", true],
    ["eu", "taiwan", false],
    ["mars", "mars", true],
    ["mars", "eu", false],
    ["constructor", "constructor", true],
  ])("a tenant of %s, when the backend is in %s, may: %s", (region, backend, may) => {
    expect(isAllowed(backend, allowedRegions(tenant(region), residency))).toBe(may);
  });
});
