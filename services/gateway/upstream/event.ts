import { type Usage, usage as usageSchema } from "../api/schemas.ts";

// Inside a JSON string every quote is escaped, so generated text cannot look like one of these keys.
const CHOICES = '"choices":[{';
const FINISH_REASON = '"finish_reason":';
const ERROR = '"error"';
const USAGE = ',"usage":{';
const QUOTE = 34;
const BACKSLASH = 92;
const OPEN = 123;
const CLOSE = 125;

/** How an engine reported its own failure inside a stream. */
export interface StreamError {
  /** The HTTP status that the engine gave it, if any. */
  readonly status: number | undefined;
}

/** What matters in an event. */
export interface Payload {
  /** Of its first choice; undefined where it holds no choice, as the chunk with the usage of the whole answer. */
  readonly index: number | undefined;
  readonly usage: Usage | undefined;
  readonly fingerprint: string | undefined;
  readonly terminal: boolean;
  readonly error: StreamError | undefined;
}

/** What all events of a stream have in common, up to where their choices begin; undefined for any that is unusual. */
export function prefixOf(event: string): string | undefined {
  const choices = event.startsWith("data: {") ? event.indexOf(CHOICES) : -1;
  if (choices === -1) return undefined;
  const prefix = event.slice(0, choices + CHOICES.length);
  return prefix.includes("\n") || prefix.includes(ERROR) ? undefined : prefix;
}

/** Whether an event with the usual prefix is one line about one choice that goes on, and about nothing else. */
export function isPlain(event: string, prefixLength: number): boolean {
  if (event.indexOf("\n", prefixLength) !== event.length - 2) return false;
  const reason = event.lastIndexOf(FINISH_REASON);
  if (reason < prefixLength) return !event.includes(ERROR, prefixLength);
  // What precedes the reason is the choice itself; only what follows it can be about the whole stream.
  return event.startsWith("null", reason + FINISH_REASON.length) && !event.includes(ERROR, reason);
}

/** Where the event's usage lies. */
export interface UsageSpan {
  /** Of the comma before its key. */
  readonly start: number;
  /** Of its value. */
  readonly value: number;
  readonly end: number;
}

/** Finds the usage of an event that engines write without spaces, as they write it behind the choices. */
export function usageSpan(event: string): UsageSpan | undefined {
  const start = event.lastIndexOf(USAGE);
  if (start === -1) return undefined;
  const value = start + USAGE.length - 1;
  const end = endOfObject(event, value);
  return end === undefined ? undefined : { start, value, end };
}

function endOfObject(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = closingQuote(text, at);
    else if (code === OPEN) depth += 1;
    else if (code === CLOSE) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

function closingQuote(text: string, opening: number): number {
  let at = opening + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}

/** Reads the text of a usage; undefined if it makes no sense. */
export function readUsage(text: string): Usage | undefined {
  try {
    return usageSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Reads what stands behind `data:`; undefined for what is no JSON object. */
export function readPayload(payload: string): Payload | undefined {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const choices: readonly unknown[] = Array.isArray(value.choices) ? value.choices : [];
  const { system_fingerprint: fingerprint } = value;
  return {
    index: choices.length === 0 ? undefined : indexOf(choices[0]),
    usage: value.usage ? usageSchema.safeParse(value.usage).data : undefined,
    fingerprint: typeof fingerprint === "string" ? fingerprint : undefined,
    terminal: choices.some((choice) => isRecord(choice) && typeof choice.finish_reason === "string"),
    error: value.error ? toStreamError(value.error) : undefined,
  };
}

function indexOf(choice: unknown): number {
  return isRecord(choice) && typeof choice.index === "number" ? choice.index : 0;
}

function toStreamError(error: unknown): StreamError {
  const code = isRecord(error) ? error.code : undefined;
  return { status: typeof code === "number" ? code : undefined };
}

/** The event with the fingerprint that another one carried. */
export function stamped(event: Buffer, fingerprint: string | undefined): Buffer {
  if (event.length === 0 || fingerprint === undefined || event.includes('"system_fingerprint":"'))
    return event;
  const body = event.toString().trimEnd().replace(/\}$/, "");
  return Buffer.from(`${body},"system_fingerprint":${JSON.stringify(fingerprint)}}\n\n`);
}
