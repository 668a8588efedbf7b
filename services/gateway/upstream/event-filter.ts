import { type Usage, usage as usageSchema } from "../api/schemas.ts";

const EMPTY = Buffer.alloc(0);
const BOUNDARY = "\n\n";
const CARRIAGE_RETURN = 13;
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
// Inside a JSON string every quote is escaped, so generated text cannot look like one of these keys.
const NOTEWORTHY = /"finish_reason":\s*"|"usage":\s*\{|"error"|\[DONE\]/;
const DATA_LINE = /^data: ?(.*)$/m;

/** How an engine reported its own failure inside a stream. */
export interface StreamError {
  /** The HTTP status that the engine gave it, if any. */
  readonly status: number | undefined;
}

interface Chunk {
  readonly choices: readonly unknown[];
  readonly usage: Usage | undefined;
  readonly fingerprint: string | undefined;
  readonly terminal: boolean;
  readonly error: StreamError | undefined;
}

/**
 * Passes whole server-sent events on as they are and reads those that matter: usage, errors and [DONE].
 *
 * Usage is always asked for, since every request is recorded. For a client that did not ask, the usage chunk is taken
 * out, and the fingerprint that vLLM moves to that chunk goes back to the chunk with the finish reason, as vLLM answers
 * without usage. That chunk therefore waits for its successor, which the engine sends right after it.
 */
export class EventFilter {
  /** What the engine counted, once it said so. */
  usage: Usage | undefined;
  /** The engine's error, once it sent one; nothing passes after it. */
  error: StreamError | undefined;
  /** Whether [DONE] has passed. */
  done = false;
  readonly #showUsage: boolean;
  #pending: Buffer = EMPTY;
  #held: Buffer | undefined;

  /** @param showUsage whether the client asked for the usage chunk */
  constructor(showUsage: boolean) {
    this.#showUsage = showUsage;
  }

  /** Whether what came last is too large to be an event. */
  get overflown(): boolean {
    return this.#pending.length > MAX_EVENT_BYTES;
  }

  /** Takes bytes as they arrive; returns those that may go to the client now. */
  push(chunk: Buffer): Buffer {
    if (this.done || this.error) return EMPTY;
    const clean = chunk.includes(CARRIAGE_RETURN) ? withoutCarriageReturns(chunk) : chunk;
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, clean]) : clean;
    const end = bytes.lastIndexOf(BOUNDARY);
    if (end === -1) {
      this.#pending = bytes;
      return EMPTY;
    }
    const events = bytes.subarray(0, end + BOUNDARY.length);
    this.#pending = bytes.subarray(end + BOUNDARY.length);
    return this.#held === undefined && !NOTEWORTHY.test(events.toString("latin1"))
      ? events
      : this.#examine(events);
  }

  /** What is left for the client when the stream is over. */
  flush(): Buffer {
    const held = this.#held ?? EMPTY;
    this.#held = undefined;
    return held;
  }

  #examine(events: Buffer): Buffer {
    const out: Buffer[] = [];
    let start = 0;
    while (start < events.length && !this.done && !this.error) {
      const end = events.indexOf(BOUNDARY, start) + BOUNDARY.length;
      this.#event(events.subarray(start, end), out);
      start = end;
    }
    return Buffer.concat(out);
  }

  #event(event: Buffer, out: Buffer[]): void {
    const payload = DATA_LINE.exec(event.toString())?.[1];
    const chunk = payload === undefined ? undefined : parseChunk(payload);
    if (chunk?.error) {
      this.error = chunk.error;
      out.push(this.flush());
      return;
    }
    this.done = payload === "[DONE]";
    this.usage = chunk?.usage ?? this.usage;
    if (!this.#showUsage && chunk?.usage && chunk.choices.length === 0) {
      out.push(stamped(this.flush(), chunk.fingerprint));
      return;
    }
    out.push(this.flush());
    if (chunk?.terminal && !this.#showUsage) this.#held = event;
    else out.push(event);
  }
}

function withoutCarriageReturns(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("latin1").replaceAll("\r", ""), "latin1");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function parseChunk(payload: string): Chunk | undefined {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const choices = Array.isArray(value.choices) ? value.choices : [];
  const { system_fingerprint: fingerprint } = value;
  return {
    choices,
    usage: value.usage ? usageSchema.safeParse(value.usage).data : undefined,
    fingerprint: typeof fingerprint === "string" ? fingerprint : undefined,
    terminal: choices.some((choice) => isRecord(choice) && typeof choice.finish_reason === "string"),
    error: value.error ? toStreamError(value.error) : undefined,
  };
}

function toStreamError(error: unknown): StreamError {
  const code = isRecord(error) ? error.code : undefined;
  return { status: typeof code === "number" ? code : undefined };
}

function stamped(event: Buffer, fingerprint: string | undefined): Buffer {
  if (event.length === 0 || fingerprint === undefined || event.includes('"system_fingerprint":"'))
    return event;
  const body = event.toString().trimEnd().replace(/\}$/, "");
  return Buffer.from(`${body},"system_fingerprint":${JSON.stringify(fingerprint)}}${BOUNDARY}`);
}
