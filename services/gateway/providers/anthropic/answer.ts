import type Anthropic from "@anthropic-ai/sdk";

const FINISH_REASONS: Readonly<Record<Anthropic.StopReason, string>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  pause_turn: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool_calls",
  refusal: "content_filter",
};

export function finishReason(reason: Anthropic.StopReason | null): string {
  // A reason that is newer than this table ends an answer all the same.
  return reason !== null && Object.hasOwn(FINISH_REASONS, reason) ? FINISH_REASONS[reason] : "stop";
}

/** The figures of Anthropic's usage, as far as they have been told. */
export type Counted = Partial<
  Pick<
    Anthropic.Usage,
    | "input_tokens"
    | "output_tokens"
    | "cache_read_input_tokens"
    | "cache_creation_input_tokens"
    | "output_tokens_details"
  >
>;

/** OpenAI's usage: there the prompt's tokens are all of them, here those that no cache read or wrote. */
export function toUsage(counted: Counted) {
  const cached = counted.cache_read_input_tokens ?? 0;
  const prompt = (counted.input_tokens ?? 0) + cached + (counted.cache_creation_input_tokens ?? 0);
  const completion = counted.output_tokens ?? 0;
  const reasoning = counted.output_tokens_details?.thinking_tokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    ...(reasoning === undefined ? {} : { completion_tokens_details: { reasoning_tokens: reasoning } }),
  };
}

/** Anthropic's message as a chat completion. What the model thought to itself stays there. */
export function toChatCompletion(message: Anthropic.Message, model: string): object {
  const text = message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
  const calls = message.content.flatMap((block) =>
    block.type === "tool_use"
      ? [
          {
            id: block.id,
            type: "function",
            function: { name: block.name, arguments: JSON.stringify(block.input) },
          },
        ]
      : [],
  );
  const content = text === "" && calls.length > 0 ? null : text;
  return {
    id: `chatcmpl-${message.id}`,
    object: "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content, ...(calls.length > 0 ? { tool_calls: calls } : {}) },
        finish_reason: finishReason(message.stop_reason),
        logprobs: null,
      },
    ],
    usage: toUsage(message.usage),
  };
}
