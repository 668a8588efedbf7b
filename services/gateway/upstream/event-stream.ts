import type { ServerResponse } from "node:http";
import type { ApiError } from "../api/errors.ts";
import type { UpstreamAnswer } from "./answer.ts";
import { EventFilter } from "./event-filter.ts";
import { UpstreamFailure } from "./failure.ts";
import { toOutcome } from "./outcome.ts";
import type { UsageWish } from "./request-body.ts";

const EMPTY = Buffer.alloc(0);
// An engine ends its answer right after [DONE]; one that does not would stay counted as busy.
const LINGER_MS = 1_000;

/** How a stream ended, once it has. */
export interface StreamEnd {
  /** What broke it; undefined when [DONE] came. */
  readonly failure: UpstreamFailure | undefined;
  /** What the client is told instead of [DONE]. */
  readonly error: ApiError | undefined;
}

/** A streamed answer on its way from a replica to a client. */
export class EventStream {
  readonly filter: EventFilter;
  readonly #answer: UpstreamAnswer;
  readonly #began = Promise.withResolvers<void>();
  #queue: Buffer[] = [];
  #end: StreamEnd | undefined;
  #response: ServerResponse | undefined;
  #idle: NodeJS.Timeout | undefined;
  #linger: NodeJS.Timeout | undefined;
  #onEnd: ((end: StreamEnd) => void) | undefined;

  constructor(answer: UpstreamAnswer, wish: UsageWish) {
    this.filter = new EventFilter(wish);
    this.#answer = answer;
    answer.read({
      data: (chunk) => this.#data(chunk),
      end: () => {
        clearTimeout(this.#linger);
        this.#pass(this.filter.end());
        if (!this.#end) this.#finish(new UpstreamFailure("incomplete", "the stream ended without [DONE]"));
      },
      fail: (failure) => this.#finish(failure),
    });
  }

  /** Waits for the first event. Resolves with the end when there is none, so that a proper status can be sent. */
  async first(): Promise<StreamEnd | undefined> {
    await this.#began.promise;
    return this.#queue.length === 0 ? this.#end : undefined;
  }

  /**
   * Sends every event to the client, at the client's pace, and ends its response.
   * @param idleMs milliseconds without progress, for want of events or because the client does not read, that end it
   */
  pipe(response: ServerResponse, idleMs: number, onEnd: (end: StreamEnd) => void): void {
    this.#response = response;
    this.#onEnd = onEnd;
    this.#idle = setTimeout(
      () => this.cancel(new UpstreamFailure("timeout", "the stream stood still")),
      idleMs,
    );
    response.on("drain", () => {
      this.#idle?.refresh();
      this.#answer.resume();
    });
    for (const chunk of this.#queue) this.#write(chunk);
    this.#queue = [];
    if (this.#end) this.#close(this.#end);
  }

  cancel(failure: UpstreamFailure): void {
    this.#answer.cancel(failure);
  }

  #data(chunk: Buffer): void {
    const before = this.filter.events;
    const passing = this.filter.push(chunk);
    const isProgress = this.filter.events > before;
    if (isProgress) this.#idle?.refresh();
    // Comments keep connections alive, and nothing else: those before the first event begin no stream.
    this.#pass(isProgress || this.#response ? passing : EMPTY);
  }

  #pass(events: Buffer): void {
    if (events.length > 0) this.#send(events);
    if (this.filter.done || this.filter.error) {
      this.#finish(undefined);
      this.#linger ??= setTimeout(() => this.cancel(goesOn()), LINGER_MS);
    } else if (this.filter.overflown) this.cancel(new UpstreamFailure("protocol", "an event is too large"));
  }

  #send(events: Buffer): void {
    if (this.#response) this.#write(events);
    else this.#queue.push(events);
    this.#began.resolve();
  }

  #write(events: Buffer): void {
    if (this.#response?.write(events) === false) this.#answer.pause();
  }

  #finish(failure: UpstreamFailure | undefined): void {
    if (this.#end) return;
    const rest = this.filter.flush();
    if (rest.length > 0) this.#send(rest);
    this.#end = this.filter.error ? engineFailed(this.filter.error.status) : brokenBy(failure);
    this.#began.resolve();
    if (this.#response) this.#close(this.#end);
  }

  #close(end: StreamEnd): void {
    clearTimeout(this.#idle);
    // A client that does not read would keep its connection for ever.
    if (this.#response?.writableNeedDrain && end.failure?.reason === "timeout") this.#response.destroy();
    if (!this.#response?.destroyed) {
      // An error event and no [DONE]: the SDKs raise it, and nothing takes the text for complete.
      if (end.error) this.#response?.end(`data: ${end.error.toBody()}\n\n`);
      else this.#response?.end();
    }
    this.#onEnd?.(end);
  }
}

function goesOn(): UpstreamFailure {
  return new UpstreamFailure("protocol", "the answer goes on after its end");
}

function brokenBy(failure: UpstreamFailure | undefined): StreamEnd {
  return { failure, error: failure?.toApiError() };
}

function engineFailed(status: number | undefined): StreamEnd {
  const { error, failure } = toOutcome(status ?? 500, {}, EMPTY);
  return { error, failure: new UpstreamFailure(failure ?? "status", "the engine sent an error event") };
}
