import type { ApiError } from "../api/errors.ts";
import type { InferenceRequest } from "../exchange.ts";
import { Breaker } from "../resilience/breaker.ts";
import { RetryBudget } from "../resilience/retry-budget.ts";
import { hashText } from "../routing/affinity.ts";
import type { Call, UpstreamEvents, UpstreamRequest } from "./call.ts";

// Long enough that a restarting server is not asked by every request, short enough that nobody misses it after.
const DOWN_MS = 2_000;

/** What is known of a backend beside how it is spoken to. */
export interface BackendTraits {
  /** Tells it from the other backends of its model, in metrics: bounded, no address. */
  readonly id: string;
  /** Where it is; undefined where only its model's settings may say so. */
  readonly region: string | undefined;
  /** Whether others run it: what is of high sensitivity never goes there. */
  readonly external: boolean;
}

/** One server that answers for a model: a replica of our own, or a provider's service. */
export abstract class Backend {
  readonly id: string;
  readonly external: boolean;
  /** What was said of itself, whatever its model's settings say. */
  readonly ownRegion: string | undefined;
  /** Where it is; undefined where nobody said so. */
  region: string | undefined;
  readonly breaker: Breaker = new Breaker();
  readonly retries: RetryBudget = new RetryBudget();
  /** For rendezvous hashing: the same in every gateway and after a restart. */
  readonly seed: number;
  /** Requests that are with it now. */
  outstanding = 0;
  /** When its last whole answer came, on the clock of performance.now(). */
  heardAt = 0;
  #downUntil = 0;

  constructor({ id, region, external }: BackendTraits) {
    this.id = id;
    this.ownRegion = region;
    this.region = region;
    this.external = external;
    this.seed = hashText(id);
  }

  /** Sends a request; `events` hears of exactly one end. */
  abstract send(request: UpstreamRequest, events: UpstreamEvents): Call;

  /** Whether it answers, as far as that is known without asking it. */
  get healthy(): boolean {
    return performance.now() >= this.#downUntil;
  }

  /** Why it cannot be sent this request; undefined where it can. */
  refuses(_request: InferenceRequest, _endpoint: string): ApiError | undefined {
    return undefined;
  }

  /** Whether it can tell the usage so far in every chunk of a stream. */
  get continuousUsage(): boolean {
    return false;
  }

  /** The name that an answer's `model` must be given; undefined where it says the right one by itself. */
  get answersAs(): string | undefined {
    return undefined;
  }

  /**
   * Leaves it out of the choice for a time, as long as there is another one.
   * @param ms milliseconds; long enough for a restart where nothing is known
   */
  markDown(ms: number = DOWN_MS): void {
    this.#downUntil = Math.max(this.#downUntil, performance.now() + ms);
  }

  protected markUp(): void {
    this.#downUntil = 0;
  }

  abstract close(): Promise<void>;
}
