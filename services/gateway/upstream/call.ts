import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { InferenceRequest } from "../exchange.ts";
import type { Backend } from "./backend.ts";
import { classify, type UpstreamFailure } from "./failure.ts";

export interface UpstreamRequest {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** What the body says, as the client sent it. */
  readonly request: InferenceRequest;
}

/** Work that is under way at a backend. */
export interface Call {
  /** Ends it and its connection at once; the backend notices and stops working. */
  cancel(failure: UpstreamFailure): void;
  pause(): void;
  resume(): void;
}

/** What happens to a call, in this order; `end` or `fail` comes last, and exactly once. */
export interface UpstreamEvents {
  head(status: number, headers: IncomingHttpHeaders): void;
  data(chunk: Buffer): void;
  end(): void;
  fail(failure: UpstreamFailure): void;
}

/** One HTTP request to one backend. */
export class UpstreamCall implements Call, Dispatcher.DispatchHandler {
  readonly #events: UpstreamEvents;
  readonly #backend: Backend;
  #controller: Dispatcher.DispatchController | undefined;
  #cancelled: UpstreamFailure | undefined;
  #settled = false;

  /** @param backend whose count of outstanding requests goes down when the call ends */
  constructor(events: UpstreamEvents, backend: Backend) {
    this.#events = events;
    this.#backend = backend;
  }

  cancel(failure: UpstreamFailure): void {
    if (this.#settled) return;
    this.#cancelled = failure;
    this.#controller?.abort(failure);
    // While it waits for a connection there is no controller to abort: onRequestStart does it later.
    this.#fail(failure);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cancelled) controller.abort(this.#cancelled);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200 || this.#settled) return;
    this.#events.head(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#settled) this.#events.data(chunk);
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#backend.outstanding -= 1;
    this.#backend.heardAt = performance.now();
    this.#events.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(classify(error));
  }

  #fail(failure: UpstreamFailure): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#backend.outstanding -= 1;
    this.#events.fail(failure);
  }
}
