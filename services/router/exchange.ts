import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import type { Backends, Upstream } from "./backends.ts";
import { ROUTER_USER_HEADER } from "./contract.ts";
import { requestHeaders, responseHeaders } from "./headers.ts";
import type { RouterMetrics } from "./metrics.ts";
import { BAD_REQUEST, type Refusal, UNAVAILABLE } from "./refusals.ts";

// A body up to this size is sent in one piece, which is faster than a stream; a longer one is never held.
const SMALL_BODY_BYTES = 64 * 1024;
const NOT_CONNECTED = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export interface ExchangeContext {
  readonly backends: Backends;
  readonly metrics: RouterMetrics;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}

/** One request of a client and its answer: the handler that undici calls while the backend answers. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #context: ExchangeContext;
  #upstream: Upstream | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #body: Buffer | undefined;
  #bodyTaken = false;
  #retried = false;
  #ended = false;

  constructor(request: IncomingMessage, response: ServerResponse, context: ExchangeContext) {
    this.#request = request;
    this.#response = response;
    this.#context = context;
    response.once("close", () => this.#onClose());
  }

  start(): void {
    const { headers, url = "" } = this.#request;
    const length = Number(
      headers["content-length"] ?? (headers["transfer-encoding"] === undefined ? 0 : Infinity),
    );
    // The other forms of a target name a server: a proxy that follows them serves anyone's errands.
    if (!url.startsWith("/")) this.#refuse(BAD_REQUEST);
    else if (length === 0 || length > SMALL_BODY_BYTES) this.#dispatchToChosen();
    else this.#collectBody();
  }

  #collectBody(): void {
    const chunks: Buffer[] = [];
    this.#request.on("data", (chunk: Buffer) => chunks.push(chunk));
    this.#request.once("end", () => {
      this.#body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      this.#dispatchToChosen();
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#response.destroyed) controller.abort(new Error("client gone"));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    _headers: unknown,
    statusMessage?: string,
  ): void {
    if (statusCode < 200) return;
    const { rawHeaders } = controller;
    const headers = Array.isArray(rawHeaders) ? responseHeaders(rawHeaders) : [];
    const { socket } = this.#response;
    // Headers and a first chunk that came together leave together; what comes later waits for nothing.
    socket?.cork();
    process.nextTick(() => socket?.uncork());
    this.#response.writeHead(statusCode, statusMessage ?? "", headers);
    this.#response.flushHeaders();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#response.write(chunk)) return;
    controller.pause();
    this.#response.once("drain", () => controller.resume());
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#response.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#response.headersSent || this.#response.destroyed) {
      this.#ended = true;
      // Cutting the connection is the only way left to say that the answer is incomplete.
      this.#response.destroy();
      return;
    }
    const code = codeOf(error);
    const next = this.#retried ? undefined : this.#nextAfter(code);
    this.#retried = true;
    if (code === "UND_ERR_INVALID_ARG") this.#refuse(BAD_REQUEST);
    else if (next === undefined) this.#refuse(UNAVAILABLE);
    else this.#dispatch(next);
  }

  #dispatchToChosen(): void {
    const userId = this.#request.headers[ROUTER_USER_HEADER];
    const upstream = this.#context.backends.choose(typeof userId === "string" ? userId : undefined);
    if (upstream === undefined) this.#refuse(UNAVAILABLE);
    else this.#dispatch(upstream);
  }

  #dispatch(upstream: Upstream): void {
    if (this.#upstream !== undefined) this.#context.metrics.ended(this.#upstream.color);
    this.#upstream = upstream;
    this.#context.metrics.started(upstream.color);
    const { method = "GET", url = "/" } = this.#request;
    upstream.pool.dispatch(
      { method, path: url, headers: requestHeaders(this.#request), body: this.#body ?? this.#streamedBody() },
      this,
    );
  }

  #streamedBody(): Readable | null {
    const { headers } = this.#request;
    if (headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0") return null;
    return Readable.from(this.#chunks(), { objectMode: false });
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    this.#bodyTaken = true;
    try {
      // undici destroys a body whose request failed; the client's connection must outlive that to get an answer.
      yield* this.#request.iterator({ destroyOnReturn: false });
    } finally {
      // A client that sends all before it reads would wait for ever: what nobody wants any more is thrown away.
      this.#request.resume();
    }
  }

  /** Where to send the request again, if it can be sent again without the risk of doing its work twice. */
  #nextAfter(code: string): Upstream | undefined {
    if (this.#bodyTaken || this.#upstream === undefined) return undefined;
    if (NOT_CONNECTED.has(code))
      return this.#context.backends.alternative(this.#upstream.color) ?? this.#upstream;
    const reset = code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
    return reset && IDEMPOTENT.has(this.#request.method ?? "") ? this.#upstream : undefined;
  }

  #refuse({ status, headers, body }: Refusal): void {
    this.#ended = true;
    this.#response.writeHead(status, headers).end(body);
  }

  #onClose(): void {
    const { metrics } = this.#context;
    const color = this.#upstream?.color;
    if (color !== undefined) metrics.ended(color);
    metrics.answered(color, this.#response.writableFinished ? this.#response.statusCode : undefined);
    if (!this.#ended) this.#controller?.abort(new Error("client gone"));
  }
}
