import { describe, expect, test } from "vitest";
import { randomFrom } from "../../../services/model-simulator/random.ts";
import { instanceOf, instanceWriter } from "../../../services/model-simulator/schema.ts";
import { chat, HELLO, post, startSimulator } from "./support.ts";

// Far above what the work takes on a busy machine, far below what the unbounded one took.
const BLOCKED_MS = 2000;
const MEGABYTE = 1024 * 1024;

type Schema = Record<string, unknown>;

const doubling = Object.fromEntries(
  Array.from({ length: 25 }, (_, level) => {
    const next = { $ref: `#/$defs/level${level + 1}` };
    return [`level${level}`, { type: "object", properties: { a: next, b: next }, required: ["a", "b"] }];
  }),
);
const properties = (count: number, prefix: string) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, { type: "null" }]));
const manyOf = (items: Schema) => ({ type: "array", minItems: 10_000, items });

const HUGE: readonly [string, Schema][] = [
  ["a string of a billion characters", { type: "string", minLength: 1_000_000_000 }],
  ["an array of a million integers", { type: "array", minItems: 1_000_000, items: { type: "integer" } }],
  ["an array of a hundred million items", { type: "array", minItems: 100_000_000 }],
  ["arrays of arrays", manyOf(manyOf({ type: "integer" }))],
  ["objects that double at each level", { $defs: { ...doubling, level25: {} }, $ref: "#/$defs/level0" }],
  [
    "a required list that is longer than any answer",
    { required: Array.from({ length: 90_000 }, (_, name) => `${name}`) },
  ],
  ["an enum of one huge text", { enum: ["x".repeat(MEGABYTE - 100)] }],
  ["a huge constant", { const: "x".repeat(MEGABYTE - 100) }],
  [
    "items that look at much to write little",
    manyOf({ allOf: [{ type: "object", properties: properties(20_000, "p") }] }),
  ],
];

describe("a schema whose smallest instance is too large", () => {
  test.for(HUGE)("%s is refused at once, with the memory that it had", ([, schema]) => {
    const begun = performance.now();
    const memory = process.memoryUsage.rss();
    expect(() => instanceOf(schema, randomFrom(1))).toThrow("too large");
    expect(performance.now() - begun).toBeLessThan(BLOCKED_MS);
    expect(process.memoryUsage.rss() - memory).toBeLessThan(200 * MEGABYTE);
  });

  test("is a 400 of the chat and of a tool, and the server goes on", async () => {
    const { url } = await startSimulator("--enable-auto-tool-choice", "--tool-call-parser=hermes");
    const schema = { type: "string", minLength: 1_000_000_000 };
    const format = { type: "json_schema", json_schema: { name: "huge", schema } };
    const tools = [{ type: "function", function: { name: "huge", parameters: manyOf(manyOf(schema)) } }];
    for (const more of [{ response_format: format }, { tools }]) {
      const response = await post(url, "/v1/chat/completions", { messages: HELLO, ...more });
      expect(response.status).toBe(400);
      expect(await response.text()).toContain("Grammar error");
    }
    expect((await chat(url)).choices).toHaveLength(1);
  });
});

describe("a schema", () => {
  test("leaves out what is optional, when only that would be too large", () => {
    const long = { type: "string", minLength: 100_000 };
    const definition = { type: "object", properties: { a: long, b: long, c: long }, required: ["b"] };
    expect(Object.keys(Object(instanceOf(definition, randomFrom(1))))).toEqual(["b"]);
  });

  test("is merged in time that grows with its size, when it has thousands of parts", () => {
    const allOf = Array.from({ length: 10_000 }, (_, index) => ({ [`x${index}`]: 1, minimum: index }));
    const begun = performance.now();
    expect(instanceOf({ allOf, type: "integer" }, randomFrom(1))).toBeGreaterThanOrEqual(9999);
    expect(performance.now() - begun).toBeLessThan(BLOCKED_MS);
  });

  test("is written by another branch's text, when the branch that a choice takes is broken", () => {
    const write = instanceWriter({
      anyOf: [{ type: "integer" }, { type: "integer" }, { type: "string", pattern: "x" }],
    });
    for (let seed = 0; seed < 50; seed += 1) expect(write(randomFrom(seed))).toMatch(/^\d+$/);
  });
});

describe("an answer", () => {
  test("is cut with the reason length, when its JSON is longer than max_tokens", async () => {
    const { url } = await startSimulator();
    const json_schema = { name: "long", schema: { type: "string", minLength: 60_000 } };
    const more = { response_format: { type: "json_schema", json_schema } };
    const [cut] = (await chat(url, { ...more, max_tokens: 7 })).choices;
    expect(cut?.finish_reason).toBe("length");
    const whole = await chat(url, more);
    expect([
      whole.choices[0]?.finish_reason,
      whole.usage.prompt_tokens + whole.usage.completion_tokens,
    ]).toEqual(["length", 8192]);
  });

  test("stays within a bound over all its choices, when n and max_tokens are large", async () => {
    const { url } = await startSimulator();
    const more = { n: 1000, max_tokens: 8000, ignore_eos: true };
    const answer = await chat(url, more);
    expect(answer.choices).toHaveLength(1000);
    expect(answer.usage.completion_tokens).toBeLessThan(270_000);
  });

  test("of many choices is written in several turns, when no token takes time", async () => {
    const { url } = await startSimulator();
    const begun = performance.now();
    let [last, longest, over] = [begun, 0, false];
    const tick = () => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      if (!over) setImmediate(tick);
    };
    tick();
    await chat(url, { n: 50, max_tokens: 8000, ignore_eos: true });
    over = true;
    expect(longest).toBeLessThan((performance.now() - begun) / 2);
  });

  test.for<[string, string, object]>([
    ["prompts times n", "/v1/completions", { prompt: Array.from({ length: 5000 }, () => "a"), n: 10 }],
    [
      "an echo in every choice",
      "/v1/completions",
      { prompt: "a b c d e f ".repeat(200), n: 1000, echo: true },
    ],
    ["a billion prompt logprobs", "/v1/completions", { prompt: "a b", prompt_logprobs: 1_000_000_000 }],
    [
      "prompt logprobs of a chat",
      "/v1/chat/completions",
      { messages: HELLO, prompt_logprobs: 1_000_000_000 },
    ],
  ])("is refused, when it would hold too much: %s", async ([, path, body]) => {
    const { url } = await startSimulator();
    expect((await post(url, path, body)).status).toBe(400);
  });

  test("of an embedding is refused, when it has more inputs than vectors fit", async () => {
    const { url } = await startSimulator("--runner=pooling");
    const input = Array.from({ length: 100_000 }, () => "a");
    expect((await post(url, "/v1/embeddings", { input })).status).toBe(400);
  });
});

describe("a prompt", () => {
  test("that is longer than the window is refused without tokenizing the rest", async () => {
    const { url } = await startSimulator("--sim-max-characters-per-token=1000");
    let text = "";
    for (let index = 0; text.length < MEGABYTE; index += 1) {
      text += String.fromCodePoint(0x4e00 + ((index * 7919) % 5000));
    }
    const begun = performance.now();
    const response = await post(url, "/v1/chat/completions", { messages: [{ role: "user", content: text }] });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("at least 8193 input tokens");
    expect(performance.now() - begun).toBeLessThan(BLOCKED_MS);
  });
});
