import { DrainRate } from "./drain-rate.ts";
import { FairQueue } from "./fair-queue.ts";
import { RANKS, type Rank, type Release, type Waiting } from "./waiting.ts";

/** What the queue relies on in a model. */
export interface Served {
  readonly name: string;
  readonly replicas: readonly { readonly healthy: boolean }[];
  /** What the settings say of it. */
  readonly entry?: { readonly maxConcurrency?: number | undefined } | undefined;
}

const queues = (): Readonly<Record<Rank, FairQueue<Waiting>>> => ({
  probe: new FairQueue(),
  gold: new FairQueue(),
  silver: new FairQueue(),
  bronze: new FairQueue(),
  batch: new FairQueue(),
});

/** Those who wait for one model, and how many are with it. */
export class Line {
  /** The model as it was last asked for. */
  model: Served;
  running = 0;
  /** Gives back one place: the same function for all of them, so that a place costs nothing. */
  readonly release: Release;
  readonly rate = new DrainRate();
  readonly #queues = queues();
  // In the order in which they came; batches apart, for no client waits for them.
  readonly #clients = new Set<Waiting>();
  readonly #batches = new Set<Waiting>();
  readonly #lengths: Record<Rank, number> = { probe: 0, gold: 0, silver: 0, bronze: 0, batch: 0 };
  #taken = 0;

  /** @param freed is told when a place became free while somebody waits */
  constructor(model: Served, freed: (line: Line) => void) {
    this.model = model;
    this.release = () => {
      this.running -= 1;
      if (this.length > 0) {
        this.rate.record(performance.now());
        freed(this);
      }
    };
  }

  get length(): number {
    return this.#clients.size + this.#batches.size;
  }

  lengthOf(rank: Rank): number {
    return this.#lengths[rank];
  }

  add(waiting: Waiting): void {
    if (this.length === 0) this.rate.forget(waiting.since);
    this.#arrivals(waiting).add(waiting);
    this.#queues[waiting.rank].add(waiting);
    this.#lengths[waiting.rank] += 1;
  }

  /** Whether it was there. */
  remove(waiting: Waiting): boolean {
    if (!this.#arrivals(waiting).delete(waiting)) return false;
    this.#queues[waiting.rank].remove(waiting);
    this.#lengths[waiting.rank] -= 1;
    return true;
  }

  /**
   * Takes out who comes next: by rank, in turns between the tenants of a rank, but now and then the oldest.
   * @param oldestEvery every how manieth place goes to the client that has waited longest
   */
  take(oldestEvery: number): Waiting | undefined {
    this.#taken += 1;
    const oldest = this.#taken % oldestEvery === 0 ? first(this.#clients) : undefined;
    const next = oldest ?? this.#byRank();
    if (next) this.remove(next);
    return next;
  }

  /** Those who came before a moment, the oldest first. */
  *cameBefore(moment: number): Generator<Waiting> {
    for (const arrivals of [this.#clients, this.#batches]) {
      for (const waiting of arrivals) {
        if (waiting.since > moment) break;
        yield waiting;
      }
    }
  }

  #byRank(): Waiting | undefined {
    for (const rank of RANKS) {
      const next = this.#queues[rank].take();
      if (next) return next;
    }
    return undefined;
  }

  #arrivals({ rank }: Waiting): Set<Waiting> {
    return rank === "batch" ? this.#batches : this.#clients;
  }
}

function first<Item>(items: ReadonlySet<Item>): Item | undefined {
  for (const item of items) return item;
  return undefined;
}
