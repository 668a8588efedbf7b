import { BYTES_PER_TOKEN, textBytes } from "../api/prompt-size.ts";
import { PATHS } from "../contract.ts";
import type { InferenceRequest } from "../exchange.ts";

// What the chat template puts around each message.
const TOKENS_PER_MESSAGE = 4;

/**
 * About how many tokens a request's prompt has; only for backends that never say it, which are too few for a
 * tokenizer's 80 MB of tables.
 */
export function estimatePromptTokens(
  request: InferenceRequest & { messages?: unknown; prompt?: unknown; input?: unknown; tools?: unknown },
  endpoint: string,
): number {
  const { messages, prompt, input, tools } = request;
  if (endpoint === PATHS.embeddings) return tokensIn(input);
  if (endpoint === PATHS.completions) return tokensIn(prompt);
  const count = Array.isArray(messages) ? messages.length : 0;
  return count * TOKENS_PER_MESSAGE + tokensIn([messages, tools]);
}

/** About how many tokens a whole answer holds; only for backends that never say it. */
export function estimateCompletionTokens(answer: object): number {
  const choices = "choices" in answer && Array.isArray(answer.choices) ? answer.choices : [];
  return choices.reduce((sum: number, choice) => sum + tokensIn(choice?.message ?? choice?.text), 0);
}

function tokensIn(value: unknown): number {
  return Math.ceil(textBytes(value) / BYTES_PER_TOKEN);
}
