import type Anthropic from "@anthropic-ai/sdk";
import type { InferenceRequest } from "../../exchange.ts";
import { invalid, isRecord, list, record, text, toConversation, unsupported } from "./content.ts";

/** A request as Anthropic takes it, with what only older versions of its API take. */
export type MessagesRequest = Anthropic.MessageCreateParamsNonStreaming & {
  temperature?: number;
  top_p?: number;
};

/** How a provider's model is asked. */
export interface AnthropicModel {
  readonly upstream: string;
  /** Tokens an answer may have if its request does not say: the API insists on a number. */
  readonly maxTokens: number;
}

/**
 * The version of the API that a request is sent with; undefined for the SDK's own. Sampling was removed by 2026-10-21,
 * where even the default values are refused; the version before it has it (platform.claude.com, API versioning).
 */
export function versionFor({ temperature, top_p }: MessagesRequest): string | undefined {
  return temperature === undefined && top_p === undefined ? undefined : "2023-06-01";
}

// What says nothing that an answer would differ by; everything else that is not translated is refused.
const NEUTRAL: Readonly<Record<string, (value: unknown) => boolean>> = {
  n: (value) => value === 1,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
  logprobs: (value) => value === false,
  store: (value) => value === false,
  logit_bias: (value) => isRecord(value) && Object.keys(value).length === 0,
  // Who its user is concerns the gateway; it may be an address, which the API does not want.
  user: () => true,
  service_tier: (value) => value === "auto" || value === "default",
};

const TRANSLATED = new Set([
  "model",
  "messages",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "stop",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "response_format",
]);

/**
 * A chat completion's request in Anthropic's words.
 * @throws {ApiError} naming the first field that has no counterpart
 */
export function toMessagesRequest(request: InferenceRequest, model: AnthropicModel): MessagesRequest {
  const given = request as InferenceRequest & Record<string, unknown>;
  for (const [name, value] of Object.entries(given)) {
    if (TRANSLATED.has(name) || value === undefined || value === null) continue;
    if (!Object.hasOwn(NEUTRAL, name) || NEUTRAL[name]?.(value) !== true) throw unsupported(name);
  }
  const { system, messages } = toConversation(list(given.messages, "messages"));
  const tools = toolsOf(given.tools);
  const format = formatOf(given.response_format);
  const stop = stopOf(given.stop);
  const temperature = fraction(given.temperature, "temperature");
  const top_p = fraction(given.top_p, "top_p");
  const choice = choiceOf(given, tools !== undefined);
  return {
    model: model.upstream,
    max_tokens: maxTokensOf(given) ?? model.maxTokens,
    messages,
    ...(system === undefined ? {} : { system }),
    ...(tools ? { tools } : {}),
    ...(choice ? { tool_choice: choice } : {}),
    ...(stop ? { stop_sequences: stop } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...(top_p === undefined ? {} : { top_p }),
    ...(format ? { output_config: { format } } : {}),
  };
}

function maxTokensOf({ max_completion_tokens, max_tokens }: Record<string, unknown>): number | undefined {
  const [name, value] =
    max_completion_tokens === undefined || max_completion_tokens === null
      ? (["max_tokens", max_tokens] as const)
      : (["max_completion_tokens", max_completion_tokens] as const);
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  throw invalid(name, "must be a whole number above 0");
}

function fraction(value: unknown, name: string): number | undefined {
  // 1 is the default here and there.
  if (value === undefined || value === null || value === 1) return undefined;
  if (typeof value === "number" && value >= 0 && value < 1) return value;
  throw invalid(name, "must be a number from 0 to 1 for this model");
}

function stopOf(value: unknown): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return [value];
  return list(value, "stop").map((part, index) => text(part, `stop.${index}`));
}

function toolsOf(value: unknown): Anthropic.Tool[] | undefined {
  if (value === undefined || value === null) return undefined;
  const tools = list(value, "tools").map((entry, index): Anthropic.Tool => {
    const at = `tools.${index}`;
    const { type, function: described } = record(entry, at);
    if (type !== "function") throw unsupported(`${at}.type`);
    const { name, description, parameters, strict } = record(described, `${at}.function`);
    return {
      name: text(name, `${at}.function.name`),
      input_schema: schemaOf(parameters, `${at}.function.parameters`),
      ...(typeof description === "string" ? { description } : {}),
      ...(strict === true ? { strict: true } : {}),
    };
  });
  return tools.length === 0 ? undefined : tools;
}

function schemaOf(parameters: unknown, field: string): Anthropic.Tool.InputSchema {
  if (parameters === undefined || parameters === null) return { type: "object" };
  return { ...record(parameters, field), type: "object" };
}

function choiceOf(given: Record<string, unknown>, hasTools: boolean): Anthropic.ToolChoice | undefined {
  const { tool_choice: choice, parallel_tool_calls: parallel } = given;
  if (!hasTools) {
    if (choice === undefined || choice === null || choice === "none" || choice === "auto") return undefined;
    throw invalid("tool_choice", "needs tools");
  }
  if (choice === "none") return { type: "none" };
  const one = parallel === false ? { disable_parallel_tool_use: true } : {};
  if (choice === undefined || choice === null)
    return parallel === false ? { type: "auto", ...one } : undefined;
  if (choice === "auto") return { type: "auto", ...one };
  if (choice === "required") return { type: "any", ...one };
  const { type, function: named } = record(choice, "tool_choice");
  if (type !== "function") throw unsupported("tool_choice.type");
  const name = text(record(named, "tool_choice.function").name, "tool_choice.function.name");
  return { type: "tool", name, ...one };
}

function formatOf(value: unknown): Anthropic.JSONOutputFormat | undefined {
  if (value === undefined || value === null) return undefined;
  const { type, json_schema: described } = record(value, "response_format");
  if (type === "text") return undefined;
  if (type !== "json_schema") throw unsupported("response_format.type");
  const { schema } = record(described, "response_format.json_schema");
  return { type: "json_schema", schema: record(schema, "response_format.json_schema.schema") };
}
