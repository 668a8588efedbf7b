import { BYTES_PER_TOKEN, textBytes } from "../api/prompt-size.ts";
import type { InferenceRequest } from "../exchange.ts";

/** Up to here it hardly matters that field names are counted as well. */
const SMALL_BYTES = 16_384;
/** What a completion may generate unless it says otherwise, as OpenAI and vLLM have it. */
const COMPLETION_TOKENS = 16;
const MAX_TOKENS = 100_000_000;

/** Fields that decide how much a model has to do; a client may put anything into them. */
type Sized = InferenceRequest & {
  readonly messages?: unknown;
  readonly prompt?: unknown;
  readonly input?: unknown;
  readonly tools?: unknown;
  readonly max_tokens?: unknown;
  readonly max_completion_tokens?: unknown;
  readonly n?: unknown;
};

export interface EstimatedTokens {
  readonly prompt: number;
  readonly completion: number;
}

/**
 * What a request will take at most, about. A tokenizer would cost more than all other steps together, and what was
 * reserved too much or too little is settled.
 * @param bytes of its body
 * @param outputTokens what an answer is expected to have that names no maximum
 */
export function estimateTokens(request: Sized, bytes: number, outputTokens: number): EstimatedTokens {
  const { messages, prompt, input } = request;
  const size = bytes <= SMALL_BYTES ? bytes : textBytes([messages ?? prompt ?? input, request.tools]);
  const inPrompt = Math.ceil(size / BYTES_PER_TOKEN);
  if (input !== undefined && messages === undefined && prompt === undefined)
    return { prompt: inPrompt, completion: 0 };
  const fallback = messages === undefined ? COMPLETION_TOKENS : outputTokens;
  const each = count(request.max_completion_tokens) ?? count(request.max_tokens) ?? fallback;
  const prompts = Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt.length : 1;
  const completion = each * Math.max(1, count(request.n) ?? 1) * prompts;
  return { prompt: inPrompt, completion: Math.min(completion, MAX_TOKENS) };
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 ? Math.min(Math.floor(value), MAX_TOKENS) : undefined;
}
