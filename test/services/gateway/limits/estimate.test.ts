import { describe, expect, test } from "vitest";
import { estimatePromptTokens } from "../../../../services/gateway/cost/estimate.ts";
import { estimateTokens } from "../../../../services/gateway/limits/estimate.ts";

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const LONG = "x".repeat(400_000);
const LONG_TOKENS = LONG.length / 4;

function estimate(endpoint: string, request: object) {
  const body = { model: "m", ...request };
  const bytes = JSON.stringify(body).length;
  return estimateTokens(body, { endpoint, bytes, outputTokens: 1_000 });
}

const chat = (request: object) => estimate(CHAT, { messages: [{ role: "user", content: "Hi" }], ...request });

describe("what is reserved for an answer", () => {
  test.each([
    ["a chat without a maximum", chat({}), 1_000],
    ["a chat with one", chat({ max_tokens: 50 }), 50],
    ["a chat with both, then its own", chat({ max_tokens: 50, max_completion_tokens: 70 }), 70],
    ["a chat with 0, as if it was not there", chat({ max_tokens: 50, max_completion_tokens: 0 }), 50],
    ["a chat of several choices", chat({ max_tokens: 50, n: 4 }), 200],
    ["a completion without a maximum", estimate(COMPLETIONS, { prompt: "Hi" }), 16],
    [
      "a completion with the maximum of chats",
      estimate(COMPLETIONS, { prompt: "Hi", max_completion_tokens: 1, max_tokens: 500 }),
      500,
    ],
    ["a completion of several prompts", estimate(COMPLETIONS, { prompt: ["a", "b"], max_tokens: 10 }), 20],
    ["a completion that is the best of some", estimate(COMPLETIONS, { prompt: "a", best_of: 3 }), 48],
    ["an embedding", estimate("/v1/embeddings", { input: "Hi" }), 0],
  ])("%s", (_, { completion }, tokens) => {
    expect(completion).toBe(tokens);
  });
});

describe("what is reserved for a prompt", () => {
  const call = { type: "function", function: { name: "f", arguments: LONG } };
  const image = { type: "image_url", image_url: { url: `data:image/png;base64,${LONG}` } };
  test.each([
    ["its text", chat({ messages: [{ role: "user", content: LONG }] })],
    ["its tools", chat({ tools: [{ type: "function", function: { description: LONG } }] })],
    ["a tool's arguments", chat({ messages: [{ role: "assistant", tool_calls: [call] }] })],
    [
      "a part of any other kind",
      chat({ messages: [{ role: "assistant", content: [{ type: "refusal", refusal: LONG }] }] }),
    ],
    ["a prompt beside a field of chats", estimate(COMPLETIONS, { prompt: LONG, messages: "" })],
  ])("counts %s", (_, { prompt }) => {
    expect(prompt).toBeGreaterThanOrEqual(LONG_TOKENS);
    expect(prompt).toBeLessThan(LONG_TOKENS + 100);
  });

  test("an image counts by itself, not by its bytes, also where it is billed", () => {
    const messages = [{ role: "user", content: [image, { type: "text", text: "What is this?" }] }];
    expect(chat({ messages }).prompt).toBeLessThan(1_100);
    const billed = estimatePromptTokens({ model: "m", messages }, CHAT);
    expect(billed).toBeGreaterThan(1_000);
    expect(billed).toBeLessThan(1_100);
  });

  test("a completion is billed by its prompt, whatever else it holds", () => {
    expect(estimatePromptTokens({ model: "m", prompt: LONG, messages: [] }, COMPLETIONS)).toBe(LONG_TOKENS);
  });
});
