import { Pool } from "undici";
import { type LoadArgs, type LoadSettings, readLoadArgs } from "./args.ts";
import { Exchange } from "./exchange.ts";
import { type LoadRequest, Mix } from "./mix.ts";
import { type LoadStats, Statistics } from "./stats.ts";

export type { LoadArgs } from "./args.ts";
export type { Latency, LoadFailure, LoadStats, ReleaseCounts } from "./stats.ts";

/** A held stream that failed is opened anew after this time: at once, it would hammer a server in trouble. */
const REOPEN_MS = 1000;

/** Requests that go out at a steady rate until it is stopped. */
export interface Load {
  /** How things stand. */
  stats(): LoadStats;
  /**
   * Starts nothing new and waits for what is under way, held streams too; what is still under way after `drainMs`
   * counts as failed. A second call waits for the same.
   */
  stop(): Promise<LoadStats>;
  /** Resolves when the load has stopped, by itself after `maxRequests` or by `stop`. */
  readonly finished: Promise<void>;
}

/**
 * Sends requests at a steady rate, whatever the answers' speed (an open loop), and counts what becomes of each.
 * Nothing is sent twice.
 * @throws Error that tells every problem of the arguments at once.
 */
export function startLoad(args: LoadArgs): Load {
  const load = new RunningLoad(readLoadArgs(args));
  load.begin();
  return { stats: () => load.stats(), stop: () => load.stop(), finished: load.finished };
}

class RunningLoad {
  readonly #settings: LoadSettings;
  readonly #mix: Mix;
  readonly #statistics = new Statistics();
  readonly #keptAlive: Pool;
  readonly #ownConnections: Pool;
  readonly #underWay = new Set<Exchange>();
  readonly #reopening = new Set<NodeJS.Timeout>();
  readonly #headers: Record<string, string>;
  readonly #basePath: string;
  readonly #startedAt = performance.now();
  readonly #finished = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #sent = 0;
  #held = 0;
  #idle: (() => void) | undefined;
  #stopping: Promise<LoadStats> | undefined;

  constructor(settings: LoadSettings) {
    this.#settings = settings;
    this.#mix = new Mix(settings);
    const { origin, pathname } = new URL(settings.url);
    this.#basePath = pathname.replace(/\/+$/, "");
    this.#headers = { authorization: `Bearer ${settings.key}`, "content-type": "application/json" };
    const limits = { headersTimeout: settings.timeoutMs, bodyTimeout: settings.timeoutMs };
    // A request never waits here for a connection: the bound is that of the requests.
    const connections = settings.maxInFlight + settings.heldStreams;
    const options = { ...limits, connections, connect: { timeout: settings.timeoutMs }, allowH2: false };
    this.#keptAlive = new Pool(origin, options);
    this.#ownConnections = new Pool(origin, options);
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  begin(): void {
    for (let index = 0; index < this.#settings.heldStreams; index += 1) this.#hold(index);
    this.#tick();
  }

  stats(): LoadStats {
    return this.#statistics.read();
  }

  stop(): Promise<LoadStats> {
    this.#stopping ??= this.#drain();
    return this.#stopping;
  }

  // What became due since the last look, at the times it was due: a late timer delays requests, but loses none.
  #tick(): void {
    const { ratePerSecond, maxInFlight } = this.#settings;
    const elapsed = performance.now() - this.#startedAt;
    const due = Math.floor((elapsed / 1000) * ratePerSecond) + 1;
    for (; this.#due < due && this.#stopping === undefined; this.#due += 1) {
      const dueAt = this.#startedAt + (this.#due * 1000) / ratePerSecond;
      if (this.#underWay.size - this.#held >= maxInFlight) this.#statistics.skip(1);
      else this.#start(this.#mix.request(this.#sent++), dueAt);
    }
    if (this.#stopping !== undefined) return;
    const next = this.#startedAt + (this.#due * 1000) / ratePerSecond - performance.now();
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, next));
  }

  #start(request: LoadRequest, dueAt: number): void {
    const exchange: Exchange = new Exchange(request, {
      statistics: this.#statistics,
      dueAt,
      timed: true,
      settled: () => this.#leave(exchange),
    });
    this.#send(exchange, request);
  }

  #hold(index: number): void {
    if (this.#stopping !== undefined) return;
    const request = this.#mix.heldStream(index);
    this.#held += 1;
    const exchange: Exchange = new Exchange(request, {
      statistics: this.#statistics,
      dueAt: performance.now(),
      timed: false,
      settled: (succeeded) => {
        this.#held -= 1;
        this.#leave(exchange);
        if (succeeded) this.#hold(index);
        else this.#holdLater(index);
      },
    });
    this.#send(exchange, request);
  }

  #holdLater(index: number): void {
    if (this.#stopping !== undefined) return;
    const timer = setTimeout(() => {
      this.#reopening.delete(timer);
      this.#hold(index);
    }, REOPEN_MS);
    this.#reopening.add(timer);
  }

  #send(exchange: Exchange, { path, body, ownConnection }: LoadRequest): void {
    this.#statistics.start();
    this.#underWay.add(exchange);
    const { users, maxRequests } = this.#settings;
    const user = users === undefined ? {} : { "x-user-id": `load-${this.#statistics.started % users}` };
    const pool = ownConnection ? this.#ownConnections : this.#keptAlive;
    const headers = { ...this.#headers, ...user };
    const reset = ownConnection ? { reset: true } : {};
    pool.dispatch({ method: "POST", path: this.#basePath + path, headers, body, ...reset }, exchange);
    if (this.#statistics.started === maxRequests) void this.stop();
  }

  #leave(exchange: Exchange): void {
    this.#underWay.delete(exchange);
    if (this.#underWay.size === 0) this.#idle?.();
  }

  async #drain(): Promise<LoadStats> {
    clearTimeout(this.#timer);
    for (const timer of this.#reopening) clearTimeout(timer);
    const drained = Promise.withResolvers<void>();
    this.#idle = drained.resolve;
    if (this.#underWay.size === 0) drained.resolve();
    const limit = setTimeout(drained.resolve, this.#settings.drainMs);
    await drained.promise;
    clearTimeout(limit);
    for (const exchange of [...this.#underWay]) exchange.fail("unfinished", "still under way after drainMs");
    this.#statistics.end();
    await Promise.all([this.#keptAlive.destroy(), this.#ownConnections.destroy()]);
    this.#finished.resolve();
    return this.stats();
  }
}
