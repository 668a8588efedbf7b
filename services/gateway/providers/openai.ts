import type { IncomingHttpHeaders } from "node:http";
import { isEventStream } from "../upstream/answer.ts";
import type { UpstreamCall, UpstreamEvents, UpstreamRequest } from "../upstream/call.ts";
import type { UpstreamFailure } from "../upstream/failure.ts";
import { HttpBackend } from "../upstream/http-backend.ts";
import { withModel } from "../upstream/model-name.ts";
import type { ProvidedModel } from "./backend-of.ts";

// Providers are further away than replicas.
const CONNECT_TIMEOUT_MS = 5_000;
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const LINE_FEED = 10;
const DATA = "data:";
const EMPTY = Buffer.alloc(0);

/** A provider that speaks OpenAI's API. It never learns what our clients call the model, nor they what it calls it. */
export class OpenAiBackend extends HttpBackend {
  readonly #model: string;

  constructor(url: string, { model, upstream, secret, ...traits }: ProvidedModel) {
    super({
      ...traits,
      url,
      apiKey: secret,
      upstreamModel: upstream,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    });
    this.#model = model;
  }

  override get answersAs(): string {
    return this.#model;
  }

  override send(request: UpstreamRequest, events: UpstreamEvents): UpstreamCall {
    return super.send(
      request,
      request.request.stream === true ? new NamedEvents(events, this.#model) : events,
    );
  }
}

/** Gives every event of a stream the model's own name, line by line. */
export class NamedEvents implements UpstreamEvents {
  readonly #events: UpstreamEvents;
  readonly #model: string;
  #isStream = false;
  #pending: Buffer = EMPTY;

  constructor(events: UpstreamEvents, model: string) {
    this.#events = events;
    this.#model = model;
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#isStream = status === 200 && isEventStream(headers);
    this.#events.head(status, headers);
  }

  data(chunk: Buffer): void {
    if (!this.#isStream) {
      this.#events.data(chunk);
      return;
    }
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    this.#pending = bytes.subarray(end);
    if (end > 0) this.#events.data(this.#named(bytes.subarray(0, end)));
    // Who reads the events knows what to do with one that is too large.
    if (this.#pending.length > MAX_LINE_BYTES) this.#flush();
  }

  end(): void {
    this.#flush();
    this.#events.end();
  }

  fail(failure: UpstreamFailure): void {
    this.#events.fail(failure);
  }

  #flush(): void {
    const rest = this.#pending;
    this.#pending = EMPTY;
    if (rest.length > 0) this.#events.data(rest);
  }

  #named(lines: Buffer): Buffer {
    const parts: Buffer[] = [];
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf(LINE_FEED, start) + 1;
      const line = lines.subarray(start, end);
      const isData = line.toString("latin1", 0, DATA.length) === DATA;
      if (isData)
        parts.push(line.subarray(0, DATA.length), withModel(line.subarray(DATA.length), this.#model));
      else parts.push(line);
      start = end;
    }
    return Buffer.concat(parts);
  }
}
