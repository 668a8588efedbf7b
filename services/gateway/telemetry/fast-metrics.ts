import type { Metric, Registry } from "prom-client";

// prom-client finds the series of a call by sorting and joining its labels, which costs microseconds. Here a series is
// found through one Map for each label and kept as plain numbers; prom-client only writes them out.

type LabelValue = string | number | boolean;
export type Labels<Name extends string> = Readonly<Record<Name, LabelValue>>;

export interface Definition<Name extends string = string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly Name[];
}

/** One line, or one set of buckets, of the page that Prometheus reads. */
interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly sharedLabels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Node<Child> {
  readonly next: Map<string, Node<Child>>;
  child: Child | undefined;
}

const NO_LABELS = Object.freeze({});

const node = <Child>(): Node<Child> => ({ next: new Map(), child: undefined });

/** The series of one metric by the values of their labels. */
class SeriesTable<Child> {
  #root = node<Child>();
  #all: Child[] = [];
  readonly #names: readonly string[];
  readonly #create: (labels: Readonly<Record<string, string>>) => Child;

  constructor(names: readonly string[], create: (labels: Readonly<Record<string, string>>) => Child) {
    this.#names = names;
    this.#create = create;
    this.clear();
  }

  get all(): readonly Child[] {
    return this.#all;
  }

  find(labels: Readonly<Record<string, LabelValue>>): Child {
    let at = this.#root;
    for (const name of this.#names) {
      const value = labels[name];
      const key = typeof value === "string" ? value : String(value);
      let next = at.next.get(key);
      if (next === undefined) {
        next = node<Child>();
        at.next.set(key, next);
      }
      at = next;
    }
    at.child ??= this.#add(labels);
    return at.child;
  }

  /** Forgets all series; a metric without labels has one from the start. */
  clear(): void {
    this.#root = node();
    this.#all = [];
    if (this.#names.length === 0) this.find(NO_LABELS);
  }

  #add(labels: Readonly<Record<string, LabelValue>>): Child {
    // One object for the whole life of the series: prom-client keeps its text with it.
    const child = this.#create(Object.fromEntries(this.#names.map((name) => [name, String(labels[name])])));
    this.#all.push(child);
    return child;
  }
}

/** A series of a counter or a gauge. */
export class NumberSeries {
  value = 0;
  readonly labels: Readonly<Record<string, string>>;

  constructor(labels: Readonly<Record<string, string>>) {
    this.labels = labels;
  }

  /** Adds to it; what is no number from 0 on is left out, for no count is worth a failed request. */
  add(by: number): void {
    if (by >= 0 && by < Number.POSITIVE_INFINITY) this.value += by;
  }
}

/** A series of a histogram. */
export class HistogramSeries {
  readonly counts: Float64Array;
  sum = 0;
  readonly labels: Readonly<Record<string, string>>;
  readonly #bounds: readonly number[];

  constructor(labels: Readonly<Record<string, string>>, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] ?? 0)) index += 1;
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.sum += value;
  }
}

abstract class Exposed {
  readonly name: string;
  readonly help: string;
  readonly aggregator = "sum";
  abstract readonly type: "counter" | "gauge" | "histogram";

  constructor({ name, help }: Definition) {
    this.name = name;
    this.help = help;
  }

  protected abstract samples(): Sample[];

  /** What prom-client's registry writes out. */
  async get() {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.samples() };
  }

  protected register(registry: Registry): void {
    // Of a metric the registry reads the name, and what get() gives.
    registry.registerMetric(this as unknown as Metric);
  }
}

const toSample = ({ labels, value }: NumberSeries): Sample => ({
  labels: NO_LABELS,
  sharedLabels: labels,
  value,
});

export class Counter<Name extends string = string> extends Exposed {
  readonly type = "counter";
  readonly #series: SeriesTable<NumberSeries>;

  constructor(registry: Registry, definition: Definition<Name>) {
    super(definition);
    this.#series = new SeriesTable(definition.labels, (labels) => new NumberSeries(labels));
    this.register(registry);
  }

  inc(labels: Labels<Name>, by = 1): void {
    this.#series.find(labels).add(by);
  }

  /** The series itself, for who adds to it often. */
  series(labels: Labels<Name>): NumberSeries {
    return this.#series.find(labels);
  }

  protected samples(): Sample[] {
    return this.#series.all.map(toSample);
  }
}

/** Tells one value of a gauge. */
export type SetGauge<Name extends string> = (labels: Labels<Name>, value: number) => void;

export class Gauge<Name extends string = string> extends Exposed {
  readonly type = "gauge";
  readonly #series: SeriesTable<NumberSeries>;
  #read: ((set: SetGauge<Name>) => void) | undefined;

  constructor(registry: Registry, definition: Definition<Name>) {
    super(definition);
    this.#series = new SeriesTable(definition.labels, (labels) => new NumberSeries(labels));
    this.register(registry);
  }

  set(labels: Labels<Name>, value: number): void {
    this.#series.find(labels).value = value;
  }

  /** Has the whole gauge read anew at each scrape; what `read` no longer tells is gone. */
  readFrom(read: (set: SetGauge<Name>) => void): void {
    this.#read = read;
  }

  protected samples(): Sample[] {
    if (this.#read) {
      this.#series.clear();
      this.#read((labels, value) => this.set(labels, value));
    }
    return this.#series.all.map(toSample);
  }
}

export class Histogram<Name extends string = string> extends Exposed {
  readonly type = "histogram";
  readonly #bounds: readonly number[];
  readonly #series: SeriesTable<HistogramSeries>;

  constructor(registry: Registry, definition: Definition<Name> & { readonly buckets: readonly number[] }) {
    super(definition);
    this.#bounds = definition.buckets;
    this.#series = new SeriesTable(
      definition.labels,
      (labels) => new HistogramSeries(labels, definition.buckets),
    );
    this.register(registry);
  }

  observe(labels: Labels<Name>, value: number): void {
    this.#series.find(labels).observe(value);
  }

  /** The series itself, for who observes it often. */
  series(labels: Labels<Name>): HistogramSeries {
    return this.#series.find(labels);
  }

  protected samples(): Sample[] {
    return this.#series.all.flatMap((series) => this.#samplesOf(series));
  }

  #samplesOf({ labels, counts, sum }: HistogramSeries): Sample[] {
    let below = 0;
    const buckets = Array.from(counts, (count, index) => {
      below += count;
      const le = String(this.#bounds[index] ?? "+Inf");
      return { metricName: `${this.name}_bucket`, labels: { le }, sharedLabels: labels, value: below };
    });
    const total = (suffix: string, value: number) => ({
      metricName: `${this.name}_${suffix}`,
      labels: NO_LABELS,
      sharedLabels: labels,
      value,
    });
    return [...buckets, total("sum", sum), total("count", below)];
  }
}
