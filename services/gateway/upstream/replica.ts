import type { ReplicaConfig } from "../config.ts";
import { HttpBackend } from "./http-backend.ts";

const CONNECT_TIMEOUT_MS = 2_000;
const PROBE_TIMEOUT_MS = 2_000;

/** What a replica is part of. */
export interface ReplicaPlace {
  readonly model: string;
  readonly index: number;
  /** Where the model's replicas are that do not say so themselves. */
  readonly region: string | undefined;
}

/** One server of a model of our own, watched by health probes. */
export class Replica extends HttpBackend {
  #probedHealthy = false;
  /** Whether a connection was refused since the last good probe. */
  #refused = false;

  constructor({ url, apiKey, region }: ReplicaConfig, place: ReplicaPlace) {
    super({
      id: `replica-${place.index}`,
      region: region ?? place.region,
      external: false,
      url,
      apiKey,
      upstreamModel: place.model,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    });
  }

  override get healthy(): boolean {
    return this.#probedHealthy && super.healthy;
  }

  /** Replicas run vLLM. */
  override get continuousUsage(): boolean {
    return true;
  }

  override markDown(ms?: number): void {
    this.#refused ||= ms === undefined;
    super.markDown(ms);
  }

  /** Asks for its health; anything but a refusal or a server error counts, for not every engine has /health. */
  async probe(): Promise<void> {
    const was = this.#probedHealthy;
    try {
      const { statusCode, body } = await this.pool.request({
        path: `${this.basePath}/health`,
        method: "GET",
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      });
      await body.dump();
      this.#probedHealthy = statusCode < 500;
      if (this.#probedHealthy) this.#back(was);
    } catch {
      this.#probedHealthy = false;
    }
  }

  // A server that was away and is back is another one: what it failed before says nothing about it.
  #back(wasHealthy: boolean): void {
    if (!wasHealthy || this.#refused) {
      this.markUp();
      this.breaker.halfOpen(performance.now());
    }
    this.#refused = false;
  }
}
