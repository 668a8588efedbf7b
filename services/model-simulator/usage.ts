import type { Usage } from "./generation.ts";

/** The usage of a whole answer. */
export function wholeUsage(usage: Usage, withDetails: boolean) {
  const { promptTokens, completionTokens, cachedTokens } = usage;
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    prompt_tokens_details: withDetails
      ? { cached_tokens: cachedTokens, created_cache_tokens: 0, multimodal_tokens: null }
      : null,
    completion_tokens_details: null,
  };
}

/** The usage in the last chunk of a stream. */
export function finalUsage(usage: Usage, withDetails: boolean) {
  const { promptTokens, completionTokens, cachedTokens } = usage;
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    ...(withDetails && { prompt_tokens_details: { cached_tokens: cachedTokens, created_cache_tokens: 0 } }),
  };
}

/** The usage in each chunk of a stream that asks for it. */
export function runningUsage(promptTokens: number, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    completion_tokens_details: null,
  };
}
