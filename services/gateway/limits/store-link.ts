import { Redis } from "ioredis";

const CONNECT_TIMEOUT_MS = 1_000;
const MAX_RECONNECT_MS = 2_000;
const PROBE_MS = 100;
/** A connection that gives no answer for so long is made anew. */
const GIVE_UP_MS = 5_000;

/** The store did not answer in time, or is known to be away. */
export class StoreAway extends Error {}

/** Whether the store works and yet cannot do what it was asked, and could not do it later either. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && /^(ERR|WRONGTYPE|NOPERM) /.test(error.message);
}

export interface StoreLinkOptions {
  readonly url: string;
  /** Milliseconds that a call may take. */
  readonly timeoutMs: () => number;
  /** Called when the store comes and goes; it counts as away until it has answered once. */
  readonly onChange: (up: boolean) => void;
}

/**
 * The connection to a store that requests wait for: never longer than the time limit, and once it has failed not at
 * all, until a ping in the background is answered again.
 */
export class StoreLink {
  readonly redis: Redis;
  readonly #options: StoreLinkOptions;
  #up = false;
  #pinging = false;
  #silentSince = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(options: StoreLinkOptions) {
    this.#options = options;
    this.redis = new Redis(options.url, {
      connectTimeout: CONNECT_TIMEOUT_MS,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      // What was on its way may have been carried out: sent again, it would count twice.
      autoResendUnfulfilledCommands: false,
      retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, MAX_RECONNECT_MS),
    });
    // onChange tells it; an unheard error event would end the process.
    this.redis.on("error", () => undefined);
    this.redis.on("close", () => this.#set(false));
    this.redis.on("ready", () => void this.#ping());
    this.#timer = setInterval(() => this.#probe(), PROBE_MS);
    this.#timer.unref();
  }

  get up(): boolean {
    return this.#up;
  }

  /** @throws when the store is away, does not answer in time or refuses */
  async call<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#up) throw new StoreAway();
    const late = Promise.withResolvers<never>();
    const timer = this.#limit(() => late.reject(new StoreAway()));
    try {
      return await Promise.race([work(), late.promise]);
    } catch (error) {
      // A script's own failure says nothing of the store.
      if (!isRefusal(error)) this.#set(false);
      throw error;
    } finally {
      timer.clear();
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.redis.disconnect();
  }

  // After a pause of this process an answer may be there that nobody has read yet: it gets one turn of the event loop.
  #limit(onLate: () => void): { clear(): void } {
    let over = false;
    const afterReading = () => setImmediate(() => setImmediate(() => (over ? undefined : onLate())));
    const timer = setTimeout(afterReading, this.#options.timeoutMs());
    return {
      clear: () => {
        over = true;
        clearTimeout(timer);
      },
    };
  }

  #probe(): void {
    if (this.#up) return;
    if (performance.now() - this.#silentSince > GIVE_UP_MS) {
      this.#silentSince = performance.now();
      this.redis.disconnect(true);
    } else if (this.redis.status === "ready") void this.#ping();
  }

  async #ping(): Promise<void> {
    if (this.#pinging || this.#up) return;
    this.#pinging = true;
    const started = performance.now();
    try {
      await this.redis.ping();
      // An answer that came too late proves only that it lives; the next ping shows whether it is fast enough.
      if (performance.now() - started <= this.#options.timeoutMs()) this.#set(true);
      this.#silentSince = performance.now();
    } catch {
      // The next one may be answered.
    } finally {
      this.#pinging = false;
    }
  }

  #set(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    this.#silentSince = performance.now();
    this.#options.onChange(up);
  }
}
