import { ApiError } from "../api/errors.ts";
import type { Metrics } from "../metrics.ts";
import type { UpstreamFailure } from "../upstream/failure.ts";
import { Bounds, type Refusal } from "./bounds.ts";
import { Line, type Served } from "./line.ts";
import type { QueueSettings } from "./settings.ts";
import { type Ends, type Entrant, RANKS, type Release, rankOf, Waiting } from "./waiting.ts";

// How often those who have waited too long are looked for, and replicas that have become healthy again.
const SWEEP_MS = 50;

const TENANT_FULL = "Too many of your requests are waiting for this model already. Try again later.";

/**
 * Lets requests through to a model as long as its replicas have room, and keeps the others until they do: by rank,
 * in turns between tenants, bounded in number, bytes and time.
 */
export class AdmissionQueue implements Ends {
  readonly #settings: () => QueueSettings;
  readonly #metrics: Metrics;
  readonly #lines = new Map<string, Line>();
  readonly #bounds = new Bounds();
  #sweep: NodeJS.Timeout | undefined;

  /** @param settings what holds now; asked for each request */
  constructor(settings: () => QueueSettings, metrics: Metrics) {
    this.#settings = settings;
    this.#metrics = metrics;
    metrics.queueLength.readFrom((set) => {
      for (const [model, line] of this.#lines)
        for (const tier of RANKS) set({ model, tier }, line.lengthOf(tier));
    });
    metrics.queueBytes.readFrom((set) => set({}, this.#bounds.bytes));
  }

  /** Requests that wait now. */
  get length(): number {
    return this.#bounds.count;
  }

  /**
   * A place at the model: at once while there is room, else when it is this request's turn.
   * @throws {ApiError} when it may not wait; the promise rejects with one when it has waited too long, and with the
   * failure that ended the request early
   */
  admit(entrant: Entrant, model: Served): Release | Promise<Release> {
    const line = this.#lineOf(model);
    if (line.length > 0 || line.running >= this.#capacity(line)) return this.#wait(entrant, line);
    line.running += 1;
    return line.release;
  }

  leave(waiting: Waiting, failure: UpstreamFailure): void {
    for (const line of this.#lines.values()) {
      if (!line.remove(waiting)) continue;
      const isLate = failure.reason === "timeout";
      this.#end(waiting, line, isLate ? "expired" : "left");
      // It never reached a replica: unlike other late requests it may be repeated without harm.
      waiting.place.reject(isLate ? this.#overloaded(line, waiting) : failure);
      return;
    }
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #lineOf(model: Served): Line {
    let line = this.#lines.get(model.name);
    if (!line) {
      line = new Line(model, (freed) => this.#fill(freed));
      this.#lines.set(model.name, line);
    }
    line.model = model;
    return line;
  }

  #capacity({ model }: Line): number {
    const each = model.entry?.maxConcurrency ?? this.#settings().perReplica;
    if (each === undefined) return Number.POSITIVE_INFINITY;
    let healthy = 0;
    for (const replica of model.replicas) if (replica.healthy) healthy += 1;
    // Without a healthy one they are all asked; what is no server of our own counts as one.
    return each * (healthy || model.replicas.length || 1);
  }

  #wait(entrant: Entrant, line: Line): Promise<Release> {
    const { principal, body } = entrant;
    const asked = { rank: rankOf(entrant), tenant: principal?.tenant.id ?? "", bytes: body.length };
    const refusal = this.#bounds.refusal(asked, this.#settings());
    if (refusal) throw this.#refuse(line, asked.rank, refusal);
    const waiting = new Waiting(entrant, performance.now(), this);
    this.#bounds.add(waiting);
    line.add(waiting);
    this.#sweep ??= setInterval(() => this.#sweepAll(), SWEEP_MS);
    // There may be room: a replica became healthy since.
    this.#fill(line);
    return waiting.place.promise;
  }

  #fill(line: Line): void {
    while (line.length > 0 && line.running < this.#capacity(line)) {
      const next = line.take(this.#settings().oldestEvery);
      if (!next) return;
      line.running += 1;
      this.#end(next, line, "admitted");
      next.place.resolve(line.release);
    }
  }

  #end(waiting: Waiting, line: Line, end: "admitted" | "expired" | "left"): void {
    const { entrant, rank, since } = waiting;
    this.#bounds.remove(waiting);
    const waitedMs = performance.now() - since;
    entrant.waiting = undefined;
    entrant.queuedMs = waitedMs;
    entrant.trace?.waited(since);
    this.#metrics.queueWait.observe({ model: line.model.name, tier: rank, end }, waitedMs / 1000);
  }

  #sweepAll(): void {
    const moment = performance.now() - this.#settings().maxWaitSeconds * 1000;
    for (const line of this.#lines.values()) {
      for (const waiting of line.cameBefore(moment)) {
        line.remove(waiting);
        this.#end(waiting, line, "expired");
        waiting.place.reject(this.#overloaded(line, waiting));
      }
      this.#fill(line);
    }
    if (this.#bounds.count > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #overloaded(line: Line, { rank }: Waiting): ApiError {
    return this.#refuse(line, rank, "waited");
  }

  #refuse(line: Line, tier: string, reason: Refusal | "waited"): ApiError {
    this.#metrics.queueRefused.inc({ model: line.model.name, tier, reason });
    const unknown = this.#settings().maxWaitSeconds;
    const retryAfterSeconds = line.rate.secondsUntil(line.length, performance.now(), unknown);
    return reason === "tenant"
      ? new ApiError("rate_limit_exceeded", { message: TENANT_FULL, retryAfterSeconds })
      : new ApiError("model_overloaded", { retryAfterSeconds });
  }
}
