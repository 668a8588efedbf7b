import { Pool } from "undici";
import type { ReplicaConfig } from "../config.ts";
import { UpstreamCall, type UpstreamEvents, type UpstreamRequest } from "./call.ts";

// Long enough that a restarting replica is not asked by every request, short enough that nobody misses it after.
const DOWN_MS = 2_000;
const CONNECT_TIMEOUT_MS = 2_000;
const PROBE_TIMEOUT_MS = 2_000;

/** One server of a model: its connections, what it is busy with and whether it answers. */
export class Replica {
  /** Requests that are with it now. */
  outstanding = 0;
  readonly #pool: Pool;
  readonly #basePath: string;
  readonly #authorization: Readonly<Record<string, string>>;
  #probedHealthy = false;
  #downUntil = 0;

  /** @param url where its API lives, with or without a trailing /v1 */
  constructor({ url, apiKey }: ReplicaConfig) {
    this.#authorization = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    const { origin, pathname } = new URL(url);
    this.#basePath = pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
    // The gateway sets its own deadlines for whole answers and for pauses in streams.
    this.#pool = new Pool(origin, {
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS },
    });
  }

  get healthy(): boolean {
    return this.#probedHealthy && performance.now() >= this.#downUntil;
  }

  /** Leaves it out of the choice for a short time, after it refused a connection. */
  markDown(): void {
    this.#downUntil = performance.now() + DOWN_MS;
  }

  /** Sends a request; `events` hears of exactly one end. */
  send(request: UpstreamRequest, events: UpstreamEvents): UpstreamCall {
    this.outstanding += 1;
    const call = new UpstreamCall(events, () => {
      this.outstanding -= 1;
    });
    const headers = { ...request.headers, ...this.#authorization };
    this.#pool.dispatch({ ...request, headers, path: this.#basePath + request.path, method: "POST" }, call);
    return call;
  }

  /** Asks for its health; anything but a refusal or a server error counts, for not every engine has /health. */
  async probe(): Promise<void> {
    try {
      const { statusCode, body } = await this.#pool.request({
        path: `${this.#basePath}/health`,
        method: "GET",
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      });
      await body.dump();
      this.#probedHealthy = statusCode < 500;
      if (this.#probedHealthy) this.#downUntil = 0;
    } catch {
      this.#probedHealthy = false;
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
