import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

const MAX_FAILURES = 20;
const MAX_RELEASES = 100;
const RELEASE = /^[A-Za-z0-9._-]{1,64}$/;
/** Where no answer named a release. */
export const NO_RELEASE = "none";
/** Where the name is none, or one of too many. */
const OTHER_RELEASE = "other";

/**
 * connection: refused, reset or never made · status: not 200 · content: the answer is not what it should be ·
 * truncated: it broke off · timeout: it stood still · unfinished: it was under way when the time to drain was over
 */
export type FailureKind = "connection" | "status" | "content" | "truncated" | "timeout" | "unfinished";

export interface LoadFailure {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: FailureKind;
  readonly detail: string;
}

export interface ReleaseCounts {
  readonly succeeded: number;
  readonly failed: number;
  /**
   * When the last request that this release answered was sent, in milliseconds since the epoch: a stream that is still
   * being held says nothing about where new requests go.
   */
  readonly lastAt: number;
}

export interface Latency {
  readonly count: number;
  /** Milliseconds; undefined where nothing was measured. */
  readonly p50Ms: number | undefined;
  readonly p95Ms: number | undefined;
}

/** What became of a load's requests; `started` is `succeeded`, `failed` and `inFlight` together. */
export interface LoadStats {
  readonly started: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Requests that were due while `maxInFlight` others were under way, and were not sent. */
  readonly skipped: number;
  readonly inFlight: number;
  /** Seconds from the start to now, or to the last answer of a load that has ended. */
  readonly seconds: number;
  /** By the response header `x-release`; `none` counts answers without it and requests without an answer. */
  readonly byRelease: Readonly<Record<string, ReleaseCounts>>;
  /** Whole requests that succeeded, from when they were due; without held streams. */
  readonly latency: Latency;
  /** Until the first part of a stream's answer, from when it was due. */
  readonly firstToken: Latency;
  /** The first 20. */
  readonly failures: readonly LoadFailure[];
}

class Timings {
  readonly #histogram: RecordableHistogram = createHistogram({ figures: 3 });

  record(ms: number): void {
    this.#histogram.record(Math.max(1, Math.round(ms * 1000)));
  }

  get summary(): Latency {
    const { count } = this.#histogram;
    const percentile = (share: number) =>
      count === 0 ? undefined : this.#histogram.percentile(share) / 1000;
    return { count, p50Ms: percentile(50), p95Ms: percentile(95) };
  }
}

/** Counts what becomes of requests. */
export class Statistics {
  readonly latency = new Timings();
  readonly firstToken = new Timings();
  readonly #startedAt = performance.now();
  readonly #releases = new Map<string, { succeeded: number; failed: number; lastAt: number }>();
  readonly #failures: LoadFailure[] = [];
  #endedAt: number | undefined;
  #started = 0;
  #succeeded = 0;
  #failed = 0;
  #skipped = 0;

  get started(): number {
    return this.#started;
  }

  get inFlight(): number {
    return this.#started - this.#succeeded - this.#failed;
  }

  start(): void {
    this.#started += 1;
  }

  skip(requests: number): void {
    this.#skipped += requests;
  }

  /**
   * A release has begun to answer a request.
   * @param sentAt milliseconds since the epoch
   * @returns the name under which it is counted
   */
  answered(release: string | string[] | undefined, sentAt: number): string {
    const name = this.#nameOf(release);
    const counts = this.#countsOf(name);
    counts.lastAt = Math.max(counts.lastAt, sentAt);
    return name;
  }

  succeed(release: string): void {
    this.#succeeded += 1;
    this.#countsOf(release).succeeded += 1;
  }

  fail(release: string, kind: FailureKind, detail: string): void {
    this.#failed += 1;
    this.#countsOf(release).failed += 1;
    if (this.#failures.length < MAX_FAILURES) this.#failures.push({ at: Date.now(), kind, detail });
  }

  end(): void {
    this.#endedAt = performance.now();
  }

  read(): LoadStats {
    const byRelease = [...this.#releases].map(([name, counts]) => [name, { ...counts }] as const);
    return {
      started: this.#started,
      succeeded: this.#succeeded,
      failed: this.#failed,
      skipped: this.#skipped,
      inFlight: this.inFlight,
      seconds: ((this.#endedAt ?? performance.now()) - this.#startedAt) / 1000,
      byRelease: Object.fromEntries(byRelease),
      latency: this.latency.summary,
      firstToken: this.firstToken.summary,
      failures: [...this.#failures],
    };
  }

  // A server may name anything: neither a long name nor many of them may fill the memory or a terminal.
  #nameOf(release: string | string[] | undefined): string {
    if (release === undefined) return NO_RELEASE;
    if (typeof release !== "string" || !RELEASE.test(release)) return OTHER_RELEASE;
    return this.#releases.has(release) || this.#releases.size < MAX_RELEASES ? release : OTHER_RELEASE;
  }

  #countsOf(name: string) {
    let counts = this.#releases.get(name);
    if (!counts) {
      counts = { succeeded: 0, failed: 0, lastAt: 0 };
      this.#releases.set(name, counts);
    }
    return counts;
  }
}
