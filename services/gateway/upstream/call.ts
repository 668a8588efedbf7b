import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import { classify, type UpstreamFailure } from "./failure.ts";

export interface UpstreamRequest {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

/** What happens to a call, in this order; `end` or `fail` comes last, and exactly once. */
export interface UpstreamEvents {
  head(status: number, headers: IncomingHttpHeaders): void;
  data(chunk: Buffer): void;
  end(): void;
  fail(failure: UpstreamFailure): void;
}

/** One request to one replica. */
export class UpstreamCall implements Dispatcher.DispatchHandler {
  readonly #events: UpstreamEvents;
  readonly #release: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #cancelled: UpstreamFailure | undefined;
  #settled = false;

  constructor(events: UpstreamEvents, release: () => void) {
    this.#events = events;
    this.#release = release;
  }

  /** Ends the call and its connection at once; the replica notices and stops working. */
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
    if (status >= 200 && !this.#settled) this.#events.head(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#settled) this.#events.data(chunk);
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#release();
    this.#events.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(classify(error));
  }

  #fail(failure: UpstreamFailure): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#release();
    this.#events.fail(failure);
  }
}
