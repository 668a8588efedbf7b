import type { Usage } from "../api/schemas.ts";
import {
  isPlain,
  prefixOf,
  readPayload,
  type StreamError,
  stamped,
  type UsageSpan,
  usageSpan,
} from "./event.ts";
import type { UsageWish } from "./request-body.ts";
import { RunningUsage } from "./running-usage.ts";

const EMPTY = Buffer.alloc(0);
const BOUNDARY = "\n\n";
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
const DATA_LINE = /^data: ?(.*)$/m;

/**
 * Passes whole server-sent events on as they are and reads those that matter: usage, errors and [DONE].
 *
 * Usage is always asked for, in every chunk where the backend can, so that a stream that is cut can be billed for what
 * was sent. What the client did not ask for is taken out again, and the fingerprint that vLLM moves to the usage chunk
 * goes back to the chunk with the finish reason, as vLLM answers without usage. That chunk therefore waits for its
 * successor, which the engine sends right after it.
 *
 * Nearly every event holds one more token and nothing else: those are recognised by a few searches and never parsed.
 */
export class EventFilter {
  /** The engine's error, once it sent one; nothing passes after it. */
  error: StreamError | undefined;
  /** Whether [DONE] has passed. */
  done = false;
  /** Events with a part of the answer that have passed: about as many as tokens, for want of a better figure. */
  parts = 0;
  /** Events with data that have come, of whatever kind: comments are no progress. */
  events = 0;
  readonly #wish: UsageWish;
  readonly #usage: RunningUsage;
  #pending: Buffer = EMPTY;
  #held: Buffer | undefined;
  // What the stream's first event and all others like it begin with, up to where their choices differ.
  #prefix = "";

  constructor(wish: UsageWish) {
    this.#wish = wish;
    this.#usage = new RunningUsage(wish.choicesPerPrompt);
  }

  /** What the engine counted so far: of what has passed while the stream goes on, of the whole answer at its end. */
  get usage(): Usage | undefined {
    return this.#usage.value;
  }

  /** Whether what came last is too large to be an event. */
  get overflown(): boolean {
    return this.#pending.length > MAX_EVENT_BYTES;
  }

  /** Takes bytes as they arrive, which are its own from then on; returns those that may go to the client now. */
  push(chunk: Buffer): Buffer {
    if (this.done || this.error) return EMPTY;
    const clean = chunk.includes(CARRIAGE_RETURN) ? withoutCarriageReturns(chunk) : chunk;
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, clean]) : clean;
    const end = endOfEvents(bytes);
    this.#pending = end === bytes.length ? EMPTY : bytes.subarray(end);
    return end === 0 ? EMPTY : this.#pass(end === bytes.length ? bytes : bytes.subarray(0, end));
  }

  /** Takes it that no more will come: some backends leave out the blank line behind [DONE]. */
  end(): Buffer {
    const isLast = this.#pending.toString().trim() === "data: [DONE]";
    return isLast ? this.push(Buffer.from(BOUNDARY)) : EMPTY;
  }

  /** What is left for the client when the stream is over. */
  flush(): Buffer {
    const held = this.#held ?? EMPTY;
    this.#held = undefined;
    return held;
  }

  #pass(events: Buffer): Buffer {
    const text = events.toString("latin1");
    if (endOfFirst(text, 0) === text.length && this.#isPlain(text)) return this.#token(events, text);
    const out: Buffer[] = [];
    for (let start = 0; start < text.length && !this.done && !this.error; ) {
      const end = endOfFirst(text, start);
      const event = text.slice(start, end);
      if (this.#isPlain(event)) out.push(this.#token(events.subarray(start, end), event));
      else this.#examine(events.subarray(start, end), out);
      start = end;
    }
    return out.length === 1 ? (out[0] ?? EMPTY) : Buffer.concat(out);
  }

  #isPlain(event: string): boolean {
    if (this.#held !== undefined || this.#wish.choicesPerPrompt !== undefined) return false;
    if (this.#prefix === "" || !event.startsWith(this.#prefix)) {
      const prefix = prefixOf(event);
      if (prefix === undefined) return false;
      this.#prefix = prefix;
    }
    return isPlain(event, this.#prefix.length);
  }

  #token(event: Buffer, text: string): Buffer {
    this.parts += 1;
    this.events += 1;
    const span = usageSpan(text);
    if (!span) return event;
    this.#usage.sawText(text.slice(span.value, span.end));
    return this.#wish.continuous ? event : without(event, span);
  }

  #examine(event: Buffer, out: Buffer[]): void {
    const payload = DATA_LINE.exec(event.toString())?.[1]?.trimEnd();
    if (payload !== undefined) this.events += 1;
    const chunk = payload === undefined ? undefined : readPayload(payload);
    if (chunk?.error) {
      this.error = chunk.error;
      out.push(this.flush());
      return;
    }
    this.done = payload === "[DONE]";
    if (chunk?.usage) this.#usage.saw(chunk.usage, chunk.index);
    if (chunk && chunk.index !== undefined) this.parts += 1;
    if (!this.#wish.final && chunk?.usage && chunk.index === undefined) {
      out.push(stamped(this.flush(), chunk.fingerprint));
      return;
    }
    out.push(this.flush());
    const span =
      this.#wish.continuous || chunk?.index === undefined ? undefined : usageSpan(event.toString("latin1"));
    const passing = span ? without(event, span) : event;
    if (chunk?.terminal && !this.#wish.final) this.#held = passing;
    else out.push(passing);
  }
}

/** Where the last whole event ends. */
function endOfEvents(bytes: Buffer): number {
  const { length } = bytes;
  if (length > 1 && bytes[length - 1] === LINE_FEED && bytes[length - 2] === LINE_FEED) return length;
  const boundary = bytes.lastIndexOf(BOUNDARY);
  return boundary === -1 ? 0 : boundary + BOUNDARY.length;
}

function endOfFirst(text: string, start: number): number {
  const boundary = text.indexOf(BOUNDARY, start);
  // Three line feeds in a row leave one that ends nothing.
  return boundary === -1 ? text.length : boundary + BOUNDARY.length;
}

// In place: what follows the usage is a bracket or two, and a copy of the rest would cost more than finding it.
function without(event: Buffer, { start, end }: UsageSpan): Buffer {
  event.copyWithin(start, end);
  return event.subarray(0, event.length - (end - start));
}

function withoutCarriageReturns(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("latin1").replaceAll("\r", ""), "latin1");
}
