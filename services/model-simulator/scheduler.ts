import type { Metrics } from "./metrics.ts";
import type { Plan } from "./plan.ts";

/** One sequence that asks for a slot. */
export interface Job {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly adapter: string | undefined;
  /** Whether `progress` is wanted as tokens come, not only at the end. */
  readonly incremental: boolean;
  /** Tokens after which the sequence goes silent: a simulated fault. */
  readonly hangAfter: number | undefined;
  /** Called once, when the sequence gets its slot. */
  plan(): Plan;
  /** Tokens from `from` up to, but not including, `to` are there. */
  progress(plan: Plan, from: number, to: number): void;
  /** The last token is there. */
  finished(plan: Plan): void;
  /** The engine died. */
  failed(): void;
}

export interface Timing {
  readonly slots: number;
  /** Milliseconds. */
  readonly timeToFirstToken: number;
  /** Milliseconds. */
  readonly timePerOutputToken: number;
  readonly kvCacheBlocks: number;
  readonly blockSize: number;
}

class Sequence {
  readonly job: Job;
  readonly arrived = performance.now();
  started = 0;
  plan: Plan | undefined;
  emitted = 0;
  timer: NodeJS.Timeout | undefined;
  lastTokenAt = 0;

  constructor(job: Job) {
    this.job = job;
  }
}

const SECOND = 1000;
// Answers are written when their sequences start; after this much of it, other connections get their turn.
const TURN_MS = 20;

/** Gives slots in order of arrival and lets each running sequence's tokens come at their time. */
export class Scheduler {
  readonly #running = new Set<Sequence>();
  readonly #waiting = new Set<Sequence>();
  readonly #timing: Timing;
  readonly #metrics: Metrics;
  #halted = false;
  #filling = false;
  #startingMs = 0;
  #nextTurn: NodeJS.Immediate | undefined;
  #idle: (() => void) | undefined;

  constructor(timing: Timing, metrics: Metrics) {
    this.#timing = timing;
    this.#metrics = metrics;
  }

  get size(): number {
    return this.#running.size + this.#waiting.size;
  }

  /** Queues a sequence; the function that is returned takes it out again, finished or not. */
  submit(job: Job): () => void {
    const sequence = new Sequence(job);
    this.#waiting.add(sequence);
    this.#fill();
    return () => this.#abort(sequence);
  }

  /** The gauges' values; tokens that are due are counted first. */
  state() {
    const now = performance.now();
    let tokens = 0;
    for (const sequence of this.#running) {
      this.#count(sequence, now);
      tokens += sequence.job.promptTokens + sequence.emitted;
    }
    const { kvCacheBlocks, blockSize } = this.#timing;
    return {
      running: this.#running.size,
      waiting: this.#waiting.size,
      kvCacheUsage: Math.min(1, Math.ceil(tokens / blockSize) / kvCacheBlocks),
    };
  }

  /** No token comes any more; who waits for one waits on. */
  halt() {
    this.#halted = true;
    for (const sequence of this.#running) clearTimeout(sequence.timer);
  }

  /** Ends every sequence with an error. */
  fail() {
    this.halt();
    for (const sequence of [...this.#running, ...this.#waiting]) {
      this.#running.delete(sequence);
      this.#waiting.delete(sequence);
      this.#finish(sequence, "error");
      sequence.job.failed();
    }
    this.#notifyIdle();
  }

  /** Resolves once nothing runs or waits. */
  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  // A sequence without any delay finishes while it is started and asks to fill its slot again: the outer loop does.
  #fill() {
    if (this.#filling || this.#nextTurn) return;
    this.#filling = true;
    const begun = performance.now();
    for (const sequence of this.#waiting) {
      if (this.#halted || this.#running.size >= this.#timing.slots) break;
      if (this.#startingMs + performance.now() - begun > TURN_MS) {
        this.#nextTurn = setImmediate(() => this.#takeTurn());
        break;
      }
      this.#waiting.delete(sequence);
      this.#start(sequence);
    }
    this.#startingMs += performance.now() - begun;
    this.#filling = false;
  }

  #takeTurn() {
    this.#nextTurn = undefined;
    this.#startingMs = 0;
    this.#fill();
  }

  #start(sequence: Sequence) {
    this.#running.add(sequence);
    sequence.started = performance.now();
    this.#noteAdapters(sequence);
    sequence.plan = sequence.job.plan();
    this.#metrics.prefill(sequence.job.promptTokens, sequence.job.cachedTokens);
    this.#step(sequence);
  }

  #firstTokenAt(sequence: Sequence): number {
    return sequence.started + this.#timing.timeToFirstToken;
  }

  #tokensDue(sequence: Sequence, now: number): number {
    const total = sequence.plan?.pieces.length ?? 0;
    const since = now - this.#firstTokenAt(sequence);
    if (since < 0) return 0;
    const perToken = this.#timing.timePerOutputToken;
    const due = perToken === 0 ? total : Math.min(total, 1 + Math.floor(since / perToken));
    return Math.min(due, sequence.job.hangAfter ?? due);
  }

  #count(sequence: Sequence, now: number): void {
    const due = this.#tokensDue(sequence, now);
    const fresh = due - sequence.emitted;
    if (this.#halted || fresh <= 0) return;
    const before = sequence.emitted;
    sequence.emitted = due;
    // Nobody looks at a whole answer's tokens when they come, so their own times count, not this moment.
    const { incremental } = sequence.job;
    const first = incremental ? now : this.#firstTokenAt(sequence);
    if (before === 0) this.#metrics.firstToken((first - sequence.arrived) / SECOND);
    const gaps = due - Math.max(before, 1);
    const observed = incremental && before > 0;
    const apart = observed ? (now - sequence.lastTokenAt) / fresh : this.#timing.timePerOutputToken;
    this.#metrics.generated(fresh, gaps, apart / SECOND);
    sequence.lastTokenAt = now;
    if (sequence.plan && sequence.job.incremental) sequence.job.progress(sequence.plan, before, due);
  }

  #step(sequence: Sequence) {
    const now = performance.now();
    this.#count(sequence, now);
    const { plan, job } = sequence;
    if (
      !plan ||
      !this.#running.has(sequence) ||
      sequence.emitted >= (job.hangAfter ?? Number.POSITIVE_INFINITY)
    ) {
      return;
    }
    // An embedding has no tokens and takes the time of a first one.
    const last = Math.max(0, plan.pieces.length - 1);
    const at = this.#firstTokenAt(sequence);
    if (sequence.emitted < plan.pieces.length || now < at) {
      const next = job.incremental ? sequence.emitted : last;
      const due = at + next * this.#timing.timePerOutputToken;
      sequence.timer = setTimeout(() => this.#step(sequence), Math.max(0, due - now));
      return;
    }
    this.#running.delete(sequence);
    this.#finish(sequence, plan.finishReason);
    job.finished(plan);
    this.#fill();
    this.#notifyIdle();
  }

  #finish(sequence: Sequence, reason: "stop" | "length" | "error") {
    const now = performance.now();
    const { job, arrived, started, emitted } = sequence;
    const begun = started === 0 ? now : started;
    const firstToken = emitted === 0 ? now : Math.min(now, this.#firstTokenAt(sequence));
    clearTimeout(sequence.timer);
    this.#noteAdapters(sequence);
    this.#metrics.finished({
      reason,
      promptTokens: job.promptTokens,
      generatedTokens: emitted,
      latency: (now - arrived) / SECOND,
      queueTime: (begun - arrived) / SECOND,
      prefillTime: Math.max(0, firstToken - begun) / SECOND,
      decodeTime: Math.max(0, now - firstToken) / SECOND,
    });
  }

  // As recorded, a client that leaves shows in no finished_reason, not even "abort".
  #abort(sequence: Sequence) {
    clearTimeout(sequence.timer);
    if (this.#running.delete(sequence)) this.#fill();
    else this.#waiting.delete(sequence);
    this.#notifyIdle();
  }

  #noteAdapters({ job }: Sequence) {
    if (job.adapter === undefined) return;
    this.#metrics.adapters(adaptersOf(this.#running), adaptersOf(this.#waiting));
  }

  #notifyIdle() {
    if (this.size > 0) return;
    this.#idle?.();
    this.#idle = undefined;
  }
}

function adaptersOf(sequences: ReadonlySet<Sequence>): string[] {
  const names = new Set<string>();
  for (const { job } of sequences) if (job.adapter !== undefined) names.add(job.adapter);
  return [...names].sort();
}
