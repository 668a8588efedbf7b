import type { Tracer } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, TracerProvider } from "@opentelemetry/sdk-trace";
import { SpanBuffer, type SpanBufferOptions } from "./span-buffer.ts";

const EXPORT_TIMEOUT_MS = 5_000;
const TRACES_PATH = "/v1/traces";
// Of what is longer, only captured content is.
const MAX_ATTRIBUTE_LENGTH = 16_384;

export interface PipelineOptions extends Pick<SpanBufferOptions, "maxSpans" | "dropped"> {
  /** With a path, or without one for OTLP's own. */
  readonly endpoint: string;
  readonly resource: { readonly release: string; readonly color: string };
}

/** What makes spans and sends them by OTLP/HTTP as JSON. Whether a request has any is decided before. */
export function openPipeline({ endpoint, resource, ...rest }: PipelineOptions): {
  tracer: Tracer;
  buffer: SpanBuffer;
} {
  const url = new URL(endpoint);
  if (url.pathname === "/") url.pathname = TRACES_PATH;
  const exporter = new OTLPTraceExporter({ url: url.href, timeoutMillis: EXPORT_TIMEOUT_MS });
  const buffer = new SpanBuffer({ exporter, ...rest });
  const provider = new TracerProvider({
    sampler: new AlwaysOnSampler(),
    spanLimits: { attributeValueLengthLimit: MAX_ATTRIBUTE_LENGTH },
    spanProcessors: [buffer],
    resource: resourceFromAttributes({
      "service.name": "gateway",
      "service.version": resource.release,
      "gateway.color": resource.color,
    }),
  });
  return { tracer: provider.getTracer("gateway"), buffer };
}
