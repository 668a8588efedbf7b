import type { InferenceRequest } from "../exchange.ts";

/** What kind of work a request is. */
export const TASKS = ["simple", "complex", "code"] as const;
export type TaskKind = (typeof TASKS)[number];

// 8,000 characters are some 2,000 tokens, which a request of one question rarely comes to.
const LONG_CHARACTERS = 8_000;
const MANY_MESSAGES = 20;
const MANY_CUES = 3;
const WEIGHT = { length: 0.35, turns: 0.15, machinery: 0.2, cues: 0.3 } as const;

// Words that ask for reasoning rather than for recall, in English and in traditional Chinese.
const CUES =
  /\b(?:prove|derive|analy[sz]e|compare|evaluate|design|architect\w*|optimi[sz]e|trade-?offs?|step by step|critique|diagnose|plan|reason\w*|why)\b|證明|推導|分析|比較|評估|設計|架構|權衡|逐步|為什麼/gi;
const CODE =
  /```|\b(?:function|class|def|const|import|return|async)\s+\w+|=>|;\s*$|\bselect\b.+\bfrom\b|stack ?trace|\b(?:refactor|compile|debug|unit tests?|regex|typescript|javascript|python|rust|golang|sql|程式碼)\b|程式碼/im;

/**
 * How demanding a request is, from 0 to 1. A pure function of the request, a few microseconds, deliberately simple:
 *
 * score = 0.35 × length + 0.15 × turns + 0.2 × machinery + 0.3 × cues
 *
 * - length: characters of all text by 8,000, at most 1
 * - turns: messages by 20, at most 1
 * - machinery: 1 with tools or a JSON schema for the answer, else 0
 * - cues: different words in the last user message that ask for reasoning ("prove", "compare", …) by 3, at most 1
 */
export function complexityOf(request: InferenceRequest): number {
  const { characters, messages, last } = survey(request);
  const score =
    WEIGHT.length * Math.min(1, characters / LONG_CHARACTERS) +
    WEIGHT.turns * Math.min(1, messages / MANY_MESSAGES) +
    WEIGHT.machinery * (hasMachinery(request) ? 1 : 0) +
    WEIGHT.cues * Math.min(1, differentCues(last) / MANY_CUES);
  return Math.min(1, score);
}

/**
 * The kind of work: "code" if the last user message holds code or asks for it, else by the complexity.
 * @param complexAbove complexity above which a request is complex, from 0 to 1
 */
export function classify(request: InferenceRequest, complexAbove: number): TaskKind {
  if (CODE.test(survey(request).last)) return "code";
  return complexityOf(request) > complexAbove ? "complex" : "simple";
}

/** The text whose beginning two requests must share for one to profit from the other's cached prefix. */
export function promptStart(request: InferenceRequest, length: number): string {
  let text = "";
  for (const part of texts(request)) {
    text += part;
    if (text.length >= length) return text.slice(0, length);
  }
  return text;
}

interface Survey {
  readonly characters: number;
  readonly messages: number;
  /** The last user message, or the prompt; no more of it than matters. */
  readonly last: string;
}

function survey(request: InferenceRequest): Survey {
  const { messages } = request as { messages?: unknown };
  let characters = 0;
  let last = "";
  let position = 0;
  for (const part of texts(request)) {
    characters += part.length;
    position += 1;
    if (!Array.isArray(messages)) last = part;
  }
  if (Array.isArray(messages)) {
    position = messages.length;
    const user: unknown = messages.findLast((message) => isRecord(message) && message.role === "user");
    last = isRecord(user) ? textOf(user.content) : "";
  }
  return { characters, messages: position, last: last.slice(0, LONG_CHARACTERS) };
}

function* texts(request: InferenceRequest): Generator<string> {
  const { messages, prompt, input } = request as Record<string, unknown> & InferenceRequest;
  if (Array.isArray(messages)) {
    for (const message of messages) if (isRecord(message)) yield textOf(message.content);
  } else yield textOf(prompt ?? input);
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (isRecord(part) && typeof part.text === "string" ? part.text : "")).join("\n");
}

function hasMachinery(request: InferenceRequest): boolean {
  const { tools, response_format: format } = request as Record<string, unknown> & InferenceRequest;
  return (Array.isArray(tools) && tools.length > 0) || (isRecord(format) && format.type === "json_schema");
}

function differentCues(text: string): number {
  return new Set(Array.from(text.matchAll(CUES), ([cue]) => cue.toLowerCase())).size;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
