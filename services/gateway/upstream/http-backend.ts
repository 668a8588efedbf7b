import { Pool } from "undici";
import { Backend, type BackendTraits } from "./backend.ts";
import { UpstreamCall, type UpstreamEvents, type UpstreamRequest } from "./call.ts";
import { withModel } from "./model-name.ts";

export interface HttpBackendOptions extends BackendTraits {
  /** Where its API lives, with or without a trailing /v1. */
  readonly url: string;
  /** Bearer token; secret. */
  readonly apiKey: string | undefined;
  /** What it calls the model. */
  readonly upstreamModel: string;
  readonly connectTimeoutMs: number;
}

/** A backend that speaks OpenAI's API over HTTP. */
export class HttpBackend extends Backend {
  protected readonly pool: Pool;
  protected readonly basePath: string;
  readonly #upstreamModel: string;
  readonly #authorization: Readonly<Record<string, string>>;

  constructor(options: HttpBackendOptions) {
    super(options);
    const { url, apiKey, upstreamModel, connectTimeoutMs } = options;
    this.#authorization = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    this.#upstreamModel = upstreamModel;
    const { origin, pathname } = new URL(url);
    this.basePath = pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
    // The gateway sets its own deadlines for whole answers and for pauses in streams.
    this.pool = new Pool(origin, {
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: connectTimeoutMs },
    });
  }

  send(request: UpstreamRequest, events: UpstreamEvents): UpstreamCall {
    this.outstanding += 1;
    const call = new UpstreamCall(events, this);
    const named = request.request.model === this.#upstreamModel;
    this.pool.dispatch(
      {
        path: this.basePath + request.path,
        method: "POST",
        headers: { ...request.headers, ...this.#authorization },
        body: named ? request.body : withModel(request.body, this.#upstreamModel),
      },
      call,
    );
    return call;
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }
}
