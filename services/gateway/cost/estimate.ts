import { leavesOf } from "../api/leaves.ts";
import type { InferenceRequest } from "../exchange.ts";

// Of UTF-8 text in most languages; a tokenizer's tables would take 80 MB for the rare stream that needs them.
const BYTES_PER_TOKEN = 4;
// What the chat template puts around each message.
const TOKENS_PER_MESSAGE = 4;

/** About how many tokens a request's prompt has; only for backends that never say it. */
export function estimatePromptTokens(
  request: InferenceRequest & { messages?: unknown; prompt?: unknown; input?: unknown },
): number {
  const { messages, prompt = request.input } = request;
  if (Array.isArray(messages)) {
    return messages.reduce((sum: number, message) => sum + TOKENS_PER_MESSAGE + tokensIn(message), 0);
  }
  return tokensIn(prompt);
}

/** About how many tokens a whole answer holds; only for backends that never say it. */
export function estimateCompletionTokens(answer: object): number {
  const choices = "choices" in answer && Array.isArray(answer.choices) ? answer.choices : [];
  return choices.reduce((sum: number, choice) => sum + tokensIn(choice?.message ?? choice?.text), 0);
}

function tokensIn(value: unknown): number {
  let tokens = 0;
  for (const leaf of leavesOf(value)) {
    if (typeof leaf === "string") tokens += Math.ceil(Buffer.byteLength(leaf) / BYTES_PER_TOKEN);
    // In a list of numbers each is a token.
    else if (typeof leaf === "number") tokens += 1;
  }
  return tokens;
}
