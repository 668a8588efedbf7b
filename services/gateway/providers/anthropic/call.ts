import type Anthropic from "@anthropic-ai/sdk";
import type { Backend } from "../../upstream/backend.ts";
import type { Call, UpstreamEvents } from "../../upstream/call.ts";
import type { UpstreamFailure } from "../../upstream/failure.ts";
import { toChatCompletion } from "./answer.ts";
import { toFailure, toToldError } from "./failure.ts";
import { type MessagesRequest, versionFor } from "./request.ts";
import { ChunkWriter } from "./stream.ts";

/** One request to Anthropic's API, told as one to OpenAI's would be. */
export class AnthropicCall implements Call {
  readonly #events: UpstreamEvents;
  readonly #backend: Backend;
  readonly #model: string;
  readonly #controller = new AbortController();
  #settled = false;
  #begun = false;
  #paused: PromiseWithResolvers<void> | undefined;

  /**
   * @param backend whose count of outstanding requests goes down when the call ends
   * @param model what clients call it
   */
  constructor(events: UpstreamEvents, backend: Backend, model: string) {
    this.#events = events;
    this.#backend = backend;
    this.#model = model;
  }

  cancel(failure: UpstreamFailure): void {
    this.#fail(failure);
    this.#controller.abort(failure);
    this.resume();
  }

  pause(): void {
    this.#paused ??= Promise.withResolvers<void>();
  }

  resume(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  /** Never rejects. */
  async run(connecting: Promise<Anthropic>, request: MessagesRequest, streamed: boolean): Promise<void> {
    try {
      const client = await connecting;
      if (this.#settled) return;
      if (streamed) await this.#stream(client, request);
      else await this.#whole(client, request);
      this.#end();
    } catch (error) {
      await this.#failed(error);
    }
  }

  async #whole(client: Anthropic, request: MessagesRequest): Promise<void> {
    const message = await client.messages.create(request, this.#options(request));
    this.#begin(200, "application/json");
    this.#data(JSON.stringify(toChatCompletion(message, this.#model)));
  }

  async #stream(client: Anthropic, request: MessagesRequest): Promise<void> {
    const events = await client.messages.create({ ...request, stream: true }, this.#options(request));
    this.#begin(200, "text/event-stream");
    const writer = new ChunkWriter(this.#model);
    for await (const event of events) {
      if (this.#settled) return;
      const text = writer.write(event);
      if (text !== "") this.#data(text);
      if (this.#paused) await this.#paused.promise;
    }
  }

  #options(request: MessagesRequest): Anthropic.RequestOptions {
    const version = versionFor(request);
    const { signal } = this.#controller;
    return version === undefined ? { signal } : { signal, headers: { "anthropic-version": version } };
  }

  /** An error of the API is told as an answer, by its status or inside the stream; any other one fails the call. */
  async #failed(error: unknown): Promise<void> {
    if (this.#settled) return;
    const { APIConnectionError, APIError } = await import("@anthropic-ai/sdk");
    if (!(error instanceof APIError) || error instanceof APIConnectionError)
      return this.#fail(toFailure(error));
    const { status, retryAfter, body } = toToldError(error);
    if (this.#begun) {
      const told = { error: { message: "", type: "api_error", code: status } };
      this.#data(`data: ${JSON.stringify(told)}\n\n`);
    } else {
      this.#begin(status, "application/json", retryAfter);
      this.#data(body);
    }
    this.#end();
  }

  #begin(status: number, contentType: string, retryAfter?: string): void {
    if (this.#settled) return;
    this.#begun = true;
    this.#events.head(status, {
      "content-type": contentType,
      ...(retryAfter === undefined ? {} : { "retry-after": retryAfter }),
    });
  }

  #data(text: string): void {
    if (!this.#settled) this.#events.data(Buffer.from(text));
  }

  #end(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#backend.outstanding -= 1;
    this.#backend.heardAt = performance.now();
    this.#events.end();
  }

  #fail(failure: UpstreamFailure): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#backend.outstanding -= 1;
    this.#events.fail(failure);
  }
}
