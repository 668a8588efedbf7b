import type { IncomingHttpHeaders } from "node:http";
import type { Backend } from "./backend.ts";
import type { Call, UpstreamEvents, UpstreamRequest } from "./call.ts";
import { UpstreamFailure } from "./failure.ts";

const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);

export interface AnswerHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Receives the rest of a body as it arrives. */
export interface Sink {
  data(chunk: Buffer): void;
  end(): void;
  fail(failure: UpstreamFailure): void;
}

/** The answer of a backend: its head as a promise, its body either whole or as it comes. */
export class UpstreamAnswer implements UpstreamEvents {
  readonly #head = Promise.withResolvers<AnswerHead | UpstreamFailure>();
  readonly #call: Call;
  #early: Buffer[] = [];
  #sink: Sink | undefined;
  #ended = false;
  #failure: UpstreamFailure | undefined;

  constructor(backend: Backend, request: UpstreamRequest) {
    this.#call = backend.send(request, this);
  }

  /** The head, or why there is no answer at all. */
  async start(): Promise<AnswerHead | UpstreamFailure> {
    return this.#head.promise;
  }

  /** The whole body. @throws {UpstreamFailure} when it breaks off or is larger than the gateway holds */
  async whole(): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const chunks: Buffer[] = [];
    let size = 0;
    this.read({
      data: (chunk) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) this.cancel(new UpstreamFailure("protocol", "the answer is too large"));
      },
      end: () => resolve(chunks.length === 1 ? (chunks[0] ?? EMPTY) : Buffer.concat(chunks)),
      fail: reject,
    });
    return promise;
  }

  /** Hands the body over, first what came before the sink did. */
  read(sink: Sink): void {
    this.#sink = sink;
    for (const chunk of this.#early) sink.data(chunk);
    this.#early = [];
    if (this.#failure) sink.fail(this.#failure);
    else if (this.#ended) sink.end();
  }

  cancel(failure: UpstreamFailure): void {
    this.#call.cancel(failure);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#head.resolve({ status, headers });
  }

  data(chunk: Buffer): void {
    if (this.#sink) this.#sink.data(chunk);
    else this.#early.push(chunk);
  }

  end(): void {
    this.#ended = true;
    this.#sink?.end();
  }

  fail(failure: UpstreamFailure): void {
    this.#failure = failure;
    this.#head.resolve(failure);
    this.#sink?.fail(failure);
  }
}

/** A header that comes twice is a list, whatever its type says. */
export function isEventStream({ "content-type": type }: IncomingHttpHeaders): boolean {
  return String(type).startsWith("text/event-stream");
}
