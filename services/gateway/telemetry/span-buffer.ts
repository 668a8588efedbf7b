import type { ReadableSpan, SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";

const BATCH_SPANS = 512;
const DELAY_MS = 1_000;
// A collector that is away is asked this rarely.
const PAUSE_MS = 10_000;
const SHUTDOWN_MS = 1_000;
const SUCCESS = 0;

export interface SpanBufferOptions {
  readonly exporter: SpanExporter;
  readonly maxSpans: number;
  /** Is told how many spans were given up. */
  readonly dropped: (count: number) => void;
}

/** Spans on their way to the collector: bounded, one batch at a time, and none while the collector is away. */
export class SpanBuffer implements SpanProcessor {
  readonly #options: SpanBufferOptions;
  #spans: ReadableSpan[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #away = false;

  constructor(options: SpanBufferOptions) {
    this.#options = options;
  }

  /** Whether spans are worth making: there is room for them. */
  get hasRoom(): boolean {
    return this.#spans.length < this.#options.maxSpans;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (!this.hasRoom) {
      this.#options.dropped(1);
      return;
    }
    this.#spans.push(span);
    if (this.#sending !== undefined) return;
    if (this.#spans.length >= BATCH_SPANS && !this.#away) this.#send();
    else this.#later(this.#away ? PAUSE_MS : DELAY_MS);
  }

  async forceFlush(): Promise<void> {
    while (this.#spans.length > 0 && !this.#away) {
      this.#send();
      await this.#sending;
    }
  }

  /** Sends what is left, if the collector takes it at once. */
  async shutdown(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const patience = setTimeout(resolve, SHUTDOWN_MS);
    await Promise.race([promise, this.forceFlush()]);
    clearTimeout(patience);
    clearTimeout(this.#timer);
    this.#options.dropped(this.#spans.length);
    this.#spans = [];
    // It waits for what is under way, which may be for nothing.
    void this.#options.exporter.shutdown().catch(() => undefined);
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => this.#send(), ms);
    this.#timer.unref();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#export(this.#spans.splice(0, BATCH_SPANS));
  }

  async #export(batch: ReadableSpan[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#options.exporter.export(batch, ({ code }) => resolve(code === SUCCESS));
    this.#away = !(await promise);
    this.#sending = undefined;
    if (this.#away) this.#options.dropped(batch.length);
    if (this.#spans.length > 0) this.#later(this.#away ? PAUSE_MS : 0);
  }
}
