import { BYTES_PER_TOKEN, textBytes } from "../api/prompt-size.ts";
import { PATHS } from "../contract.ts";
import type { InferenceRequest } from "../exchange.ts";

/** Up to here it hardly matters that field names are counted as well. */
const SMALL_BYTES = 16_384;
/** What a completion may generate unless it says otherwise, as OpenAI and vLLM have it. */
const COMPLETION_TOKENS = 16;
const MAX_TOKENS = 100_000_000;

/** Fields that decide how much a model has to do; their schemas have seen to it that numbers are numbers. */
type Sized = InferenceRequest & {
  readonly prompt?: unknown;
  readonly max_tokens?: unknown;
  readonly max_completion_tokens?: unknown;
  readonly n?: unknown;
  readonly best_of?: unknown;
};

export interface Asked {
  /** The path, as the API documents it. */
  readonly endpoint: string;
  /** Of its body. */
  readonly bytes: number;
  /** What an answer is expected to have that names no maximum. */
  readonly outputTokens: number;
}

export interface EstimatedTokens {
  readonly prompt: number;
  readonly completion: number;
}

/**
 * What a request will take at most, about. A tokenizer would cost more than all other steps together, and what was
 * reserved too much or too little is settled.
 */
export function estimateTokens(request: Sized, { endpoint, bytes, outputTokens }: Asked): EstimatedTokens {
  const size = bytes <= SMALL_BYTES ? bytes : textBytes(request);
  const prompt = Math.ceil(size / BYTES_PER_TOKEN);
  const most = count(request.max_tokens);
  if (endpoint === PATHS.embeddings) return { prompt, completion: 0 };
  const completion =
    endpoint === PATHS.completions
      ? (most || COMPLETION_TOKENS) * Math.max(1, count(request.best_of)) * promptsIn(request.prompt)
      : count(request.max_completion_tokens) || most || outputTokens;
  return { prompt, completion: Math.min(completion * Math.max(1, count(request.n)), MAX_TOKENS) };
}

function promptsIn(prompt: unknown): number {
  return Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt.length : 1;
}

function count(value: unknown): number {
  return typeof value === "number" ? Math.min(value, MAX_TOKENS) : 0;
}
