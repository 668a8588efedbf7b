import { randomBytes } from "node:crypto";
import type { Tracer } from "@opentelemetry/api";
import type { Exchange } from "../exchange.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { RequestTrace } from "./request-trace.ts";
import type { TelemetrySettings } from "./settings.ts";
import type { SpanBuffer } from "./span-buffer.ts";
import { readTraceparent, TRACEPARENT_HEADER, toTraceparent } from "./traceparent.ts";

type TracesSettings = TelemetrySettings["traces"];

export interface TracingOptions {
  /** What holds now; asked for each request. */
  readonly settings: () => TelemetrySettings;
  /** What all spans have in common. */
  readonly resource: { readonly release: string; readonly color: string };
  readonly metrics: Metrics;
  readonly log: Log;
}

interface Pipeline {
  readonly tracer: Tracer;
  readonly buffer: SpanBuffer;
}

/** Decides once for each request whether it is traced; for one that is not, there are no spans at all. */
export class Tracing {
  readonly #options: TracingOptions;
  #applied: TracesSettings | undefined;
  #pipeline: Pipeline | undefined;
  #changing: Promise<void> = Promise.resolve();

  constructor(options: TracingOptions) {
    this.#options = options;
  }

  /** Opens what the settings ask for. It need not be waited for: requests are not traced until then. */
  async ready(): Promise<void> {
    this.#follow(this.#options.settings().traces);
    await this.#changing;
  }

  /** The trace of a request that has just come; undefined for the most of them. */
  start(exchange: Exchange): RequestTrace | undefined {
    const { traces } = this.#options.settings();
    if (traces !== this.#applied) this.#follow(traces);
    const pipeline = this.#pipeline;
    if (!pipeline) return undefined;
    const header = exchange.request.headers[TRACEPARENT_HEADER];
    const parent = header === undefined ? undefined : readTraceparent(header);
    const sampled = parent && traces.followClients ? parent.sampled : Math.random() < traces.ratio;
    if (sampled && pipeline.buffer.hasRoom) return new RequestTrace(pipeline.tracer, exchange, parent);
    // Backends log the client's trace all the same, but do not record it either.
    if (parent) exchange.traceparent = toTraceparent({ ...parent, spanId: newSpanId(), sampled: false });
    return undefined;
  }

  /** Sends what is left, within a second. */
  async close(): Promise<void> {
    this.#applied = undefined;
    await this.#changing;
    await this.#pipeline?.buffer.shutdown();
    this.#pipeline = undefined;
  }

  #follow(traces: TracesSettings): void {
    this.#applied = traces;
    this.#changing = this.#changing.then(() => this.#apply(traces));
  }

  async #apply(traces: TracesSettings): Promise<void> {
    const last = this.#pipeline;
    this.#pipeline = undefined;
    await last?.buffer.shutdown();
    const { endpoint, maxQueuedSpans } = traces;
    if (endpoint === undefined || this.#applied !== traces) return;
    const { metrics, resource, log } = this.#options;
    try {
      // Loaded only where there are traces: it takes a quarter of a second and 20 MB.
      const { openPipeline } = await import("./pipeline.ts");
      this.#pipeline = openPipeline({
        endpoint,
        resource,
        maxSpans: maxQueuedSpans,
        dropped: (count) => metrics.telemetryDropped.inc({ signal: "traces" }, count),
      });
    } catch (error) {
      log.error({ event: "tracing_failed", err: error }, "requests are not traced");
    }
  }
}

// As OpenTelemetry makes them.
const newSpanId = (): string => randomBytes(8).toString("hex");
