import type Anthropic from "@anthropic-ai/sdk";
import { ApiError } from "../../api/errors.ts";

type MessageParam = Anthropic.MessageParam;
type Block = Anthropic.ContentBlockParam;

const DATA_URL = /^data:([^;,]+);base64,(.+)$/s;
const IMAGE_TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp"] as const;

/** A conversation as Anthropic takes it. */
export interface Conversation {
  readonly system: string | undefined;
  readonly messages: MessageParam[];
}

/**
 * Takes the system messages out, and joins what follows each other with the same role: results of tools are the user's
 * there.
 * @throws {ApiError} naming the field that has no counterpart
 */
export function toConversation(messages: readonly unknown[]): Conversation {
  const system: string[] = [];
  const turns: { role: "user" | "assistant"; content: Block[] }[] = [];
  const add = (role: "user" | "assistant", blocks: readonly Block[]) => {
    const last = turns.at(-1);
    if (last?.role === role) last.content.push(...blocks);
    else if (blocks.length > 0) turns.push({ role, content: [...blocks] });
  };
  for (const [index, message] of messages.entries()) {
    const at = `messages.${index}`;
    const { role, content, tool_calls: calls, tool_call_id: callId } = record(message, at);
    if (role === "system" || role === "developer") system.push(textOf(content, `${at}.content`));
    else if (role === "user") add("user", blocksOf(content, `${at}.content`));
    else if (role === "assistant") add("assistant", [...spoken(content, at), ...called(calls, at)]);
    else if (role === "tool") add("user", [toolResult(callId, content, at)]);
    else throw unsupported(`${at}.role`);
  }
  return { system: system.length === 0 ? undefined : system.join("\n\n"), messages: turns };
}

function spoken(content: unknown, at: string): Block[] {
  return content === undefined || content === null ? [] : blocksOf(content, `${at}.content`);
}

function called(calls: unknown, at: string): Block[] {
  if (calls === undefined || calls === null) return [];
  return list(calls, `${at}.tool_calls`).map((call, index): Block => {
    const field = `${at}.tool_calls.${index}`;
    const { id, type, function: called } = record(call, field);
    if (type !== "function") throw unsupported(`${field}.type`);
    const { name, arguments: given } = record(called, `${field}.function`);
    return {
      type: "tool_use",
      id: text(id, `${field}.id`),
      name: text(name, `${field}.function.name`),
      input: argumentsOf(given, `${field}.function.arguments`),
    };
  });
}

function argumentsOf(given: unknown, field: string): Record<string, unknown> {
  const json = text(given, field);
  try {
    const value: unknown = json === "" ? {} : JSON.parse(json);
    if (isRecord(value)) return value;
  } catch {
    // Told below, as what is no object is.
  }
  throw invalid(field, "must be the JSON of an object");
}

function toolResult(id: unknown, content: unknown, at: string): Block {
  return {
    type: "tool_result",
    tool_use_id: text(id, `${at}.tool_call_id`),
    content: textOf(content, `${at}.content`),
  };
}

function blocksOf(content: unknown, field: string): Block[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  return list(content, field).flatMap((part, index): Block[] => {
    const at = `${field}.${index}`;
    const { type, text: words, refusal, image_url: image } = record(part, at);
    if (type === "text") return words === "" ? [] : [{ type: "text", text: text(words, `${at}.text`) }];
    if (type === "refusal") return [{ type: "text", text: text(refusal, `${at}.refusal`) }];
    if (type === "image_url") return [imageOf(record(image, `${at}.image_url`).url, `${at}.image_url.url`)];
    throw unsupported(`${at}.type`);
  });
}

function imageOf(url: unknown, field: string): Block {
  const address = text(url, field);
  const [, type, data = ""] = DATA_URL.exec(address) ?? [];
  if (type === undefined) {
    if (!address.startsWith("https://")) throw invalid(field, "must be an https or a base64 data URL");
    return { type: "image", source: { type: "url", url: address } };
  }
  const media_type = IMAGE_TYPES.find((known) => known === type);
  if (!media_type) throw invalid(field, `must hold one of: ${IMAGE_TYPES.join(", ")}`);
  return { type: "image", source: { type: "base64", media_type, data } };
}

function textOf(content: unknown, field: string): string {
  if (typeof content === "string") return content;
  return list(content, field)
    .map((part, index) => {
      const { type, text: words } = record(part, `${field}.${index}`);
      if (type !== "text") throw unsupported(`${field}.${index}.type`);
      return text(words, `${field}.${index}.text`);
    })
    .join("\n");
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function record(value: unknown, field: string): Record<string, unknown> {
  if (isRecord(value)) return value;
  throw invalid(field, "must be an object");
}

export function list(value: unknown, field: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid(field, "must be a list");
}

export function text(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  throw invalid(field, "must be a string");
}

export function invalid(param: string, problem: string): ApiError {
  return new ApiError("invalid_request", { message: `'${param}' ${problem}.`, param });
}

export function unsupported(param: string): ApiError {
  return invalid(param, "is not supported by this model");
}
