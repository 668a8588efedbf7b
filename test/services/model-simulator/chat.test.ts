import { encode } from "gpt-tokenizer/encoding/cl100k_base";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { chat, contentOf, HELLO, post, startSimulator, streamChat } from "./support.ts";

const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city"],
    },
  },
};
const CLOCK = {
  type: "function",
  function: { name: "read_clock", parameters: { type: "object", properties: {} } },
};
const argumentsSchema = z.strictObject({ city: z.string(), days: z.int().optional() });
const TOOL_FLAGS = ["--enable-auto-tool-choice", "--tool-call-parser=hermes"];

describe("the text of a chat", () => {
  test("is the same for the same seed, model and messages, also on another simulator", async () => {
    const [first, second] = [await startSimulator(), await startSimulator()];
    expect(contentOf(await chat(first.url, { seed: 7 }))).toBe(
      contentOf(await chat(second.url, { seed: 7 })),
    );
  });

  test("differs with the seed, the simulator's seed and the messages", async () => {
    const [{ url }, other] = [await startSimulator(), await startSimulator("--sim-seed=5")];
    const texts = await Promise.all([
      chat(url),
      chat(url, { seed: 8 }),
      chat(other.url),
      chat(url, { messages: [{ role: "user", content: "Say goodbye." }] }),
    ]);
    expect(new Set(texts.map(contentOf)).size).toBe(4);
  });

  test("begins alike whatever its limit, and the choices of n differ", async () => {
    const { url } = await startSimulator();
    const whole = contentOf(await chat(url));
    expect(whole.startsWith(contentOf(await chat(url, { max_tokens: 5 })))).toBe(true);
    const { choices } = await chat(url, { n: 3 });
    expect(new Set(choices.map(({ message }) => message.content)).size).toBe(3);
  });

  test("ends by itself with a sentence and counts its end token, when the limit allows", async () => {
    const { url } = await startSimulator();
    const answer = await chat(url);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(contentOf(answer).endsWith(".")).toBe(true);
    expect(answer.usage.completion_tokens).toBe(encode(contentOf(answer)).length + 1);
  });

  test("is exactly as long as the limit by the real tokenizer, when it is cut off", async () => {
    const { url } = await startSimulator();
    const answer = await chat(url, { max_tokens: 9 });
    expect(answer.choices[0]?.finish_reason).toBe("length");
    expect([answer.usage.completion_tokens, encode(contentOf(answer)).length]).toEqual([9, 9]);
  });

  test("goes on past its natural end, when the end token is ignored or too early", async () => {
    const { url } = await startSimulator("--sim-answer-tokens=1");
    const ignoring = await chat(url, { max_tokens: 80, ignore_eos: true });
    const late = await chat(url, { min_tokens: 40 });
    expect([ignoring.usage.completion_tokens, ignoring.choices[0]?.finish_reason]).toEqual([80, "length"]);
    expect(late.usage.completion_tokens).toBeGreaterThanOrEqual(40);
  });

  test("stops before a stop string, wherever the string lies across tokens", async () => {
    const { url } = await startSimulator();
    const whole = contentOf(await chat(url));
    for (let at = 1; at < 40; at += 1) {
      const stop = whole.slice(at, at + 11);
      const answer = await chat(url, { stop: [stop] });
      expect(contentOf(answer)).toBe(whole.slice(0, whole.indexOf(stop)));
      expect([answer.choices[0]?.finish_reason, answer.choices[0]?.stop_reason]).toEqual(["stop", stop]);
    }
  });

  test("stops at the same place, when streamed, and keeps the stop string, when that is asked for", async () => {
    const { url } = await startSimulator();
    const stop = contentOf(await chat(url)).slice(12, 30);
    const answer = await chat(url, { stop });
    const { chunks } = await streamChat(url, { stop });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content).join("")).toBe(contentOf(answer));
    const kept = await chat(url, { stop, include_stop_str_in_output: true });
    expect(contentOf(kept)).toBe(contentOf(answer) + stop);
  });

  test("comes in one chunk for each token with the same words, when streamed", async () => {
    const { url } = await startSimulator();
    const answer = await chat(url, { max_tokens: 12 });
    const { chunks, ended } = await streamChat(url, {
      max_tokens: 12,
      stream_options: { include_usage: true },
    });
    expect([chunks.length, ended]).toEqual([1 + 12 + 1, true]);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(contentOf(answer));
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(12);
  });
});

describe("the prompt", () => {
  test("is counted by the real tokenizer with the template around it", async () => {
    const { url } = await startSimulator();
    const body =
      encode("user\nSay hello to the world.").length + encode("\n").length + encode("assistant\n").length;
    expect((await chat(url, { max_tokens: 1 })).usage.prompt_tokens).toBe(body + 3);
  });

  test("is text, when it spells a special token", async () => {
    const { url } = await startSimulator();
    const messages = [{ role: "user", content: "<|endoftext|><|im_start|>" }];
    expect((await chat(url, { messages, max_tokens: 1 })).usage.prompt_tokens).toBeGreaterThan(10);
  });

  test("is found in the prefix cache by whole blocks, when it comes again", async () => {
    const { url } = await startSimulator("--block-size=8", "--enable-prompt-tokens-details");
    const messages = [
      { role: "user", content: "one two three four five six seven eight nine ten eleven twelve" },
    ];
    const first = await chat(url, { messages, max_tokens: 1 });
    const again = await chat(url, { messages, max_tokens: 1 });
    expect(first.usage.prompt_tokens_details?.cached_tokens).toBe(0);
    expect(again.usage.prompt_tokens_details?.cached_tokens).toBe(
      Math.floor((again.usage.prompt_tokens - 1) / 8) * 8,
    );
  });
});

describe("a tool call", () => {
  test.for(["auto", "required"])(
    "%s: calls the tool that the question names, with valid arguments",
    async (choice) => {
      const { url } = await startSimulator(...TOOL_FLAGS);
      const messages = [{ role: "user", content: "How is the weather?" }];
      const answer = await chat(url, { messages, tools: [CLOCK, WEATHER], tool_choice: choice });
      const call = answer.choices[0]?.message.tool_calls?.[0];
      expect([answer.choices[0]?.finish_reason, call?.function.name]).toEqual(["tool_calls", "get_weather"]);
      argumentsSchema.parse(JSON.parse(call?.function.arguments ?? ""));
    },
  );

  test("is the named tool's, when one is named", async () => {
    const { url } = await startSimulator(...TOOL_FLAGS);
    const tool_choice = { type: "function", function: { name: "read_clock" } };
    const answer = await chat(url, { tools: [WEATHER, CLOCK], tool_choice });
    expect(answer.choices[0]?.message.tool_calls?.[0]?.function).toEqual({
      name: "read_clock",
      arguments: "{}",
    });
  });

  test("has the same arguments, when streamed", async () => {
    const { url } = await startSimulator(...TOOL_FLAGS);
    const answer = await chat(url, { tools: [WEATHER] });
    const { chunks } = await streamChat(url, { tools: [WEATHER] });
    const calls = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    expect(calls.filter(({ function: { name } }) => name !== undefined)).toHaveLength(1);
    expect(calls[0]?.function.name).toBe("get_weather");
    const streamed = calls.map(({ function: part }) => part.arguments ?? "").join("");
    expect(streamed).toBe(answer.choices[0]?.message.tool_calls?.[0]?.function.arguments);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("tool_calls");
  });

  test("is followed by text, when the tool's result is there", async () => {
    const { url } = await startSimulator(...TOOL_FLAGS);
    const call = { id: "call_1", type: "function", function: { name: "get_weather", arguments: "{}" } };
    const messages = [
      ...HELLO,
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "sunny" },
    ];
    const answer = await chat(url, { messages, tools: [WEATHER] });
    expect(answer.choices[0]?.message.tool_calls).toBeUndefined();
    expect(contentOf(answer).length).toBeGreaterThan(20);
  });

  test("is refused with 400, when no arguments can meet the tool's schema", async () => {
    const { url } = await startSimulator(...TOOL_FLAGS);
    const parameters = {
      type: "object",
      properties: { a: { type: "string", pattern: "^a$" } },
      required: ["a"],
    };
    const tools = [{ type: "function", function: { name: "f", parameters } }];
    const response = await post(url, "/v1/chat/completions", { messages: HELLO, tools });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { type: "BadRequestError" } },
    ]);
  });
});

describe("structured output", () => {
  test("is a JSON object, when json_object is asked for", async () => {
    const { url } = await startSimulator();
    const answer = await chat(url, { response_format: { type: "json_object" } });
    expect(z.record(z.string(), z.unknown()).safeParse(JSON.parse(contentOf(answer))).success).toBe(true);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
  });

  test("fits the schema and keeps characters that span tokens, streamed or not", async () => {
    const { url } = await startSimulator();
    const schema = {
      type: "object",
      properties: { city: { enum: ["臺北市", "台南市"] } },
      required: ["city"],
    };
    const format = { response_format: { type: "json_schema", json_schema: { name: "city", schema } } };
    const answer = await chat(url, format);
    z.strictObject({ city: z.enum(["臺北市", "台南市"]) }).parse(JSON.parse(contentOf(answer)));
    const { chunks } = await streamChat(url, format);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content).join("")).toBe(contentOf(answer));
  });
});
