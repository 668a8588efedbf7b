import { z } from "zod";

function whole(min: number, max: number, fallback: number) {
  const error = `is no whole number from ${min} to ${max}; give one, or leave it out for ${fallback}`;
  return z.number({ error }).int(error).min(min, error).max(max, error).default(fallback);
}

function share(fallback: number) {
  const error = `is no number from 0 to 1; give one, or leave it out for ${fallback}`;
  return z.number({ error }).min(0, error).max(1, error).default(fallback);
}

function toggle(fallback: boolean) {
  return z
    .boolean({ error: `is neither true nor false; use one of them, or leave it out` })
    .default(fallback);
}

const tracesSettings = z
  .strictObject({
    /** Where an OTLP/HTTP collector takes traces, such as http://127.0.0.1:4318. @default no traces */
    endpoint: z
      .url({ protocol: /^https?$/, error: "is no http(s) URL; use one such as http://127.0.0.1:4318" })
      .refine((value) => !URL.canParse(value) || new URL(value).username === "", {
        error: "carries credentials; put them into OTEL_EXPORTER_OTLP_HEADERS",
      })
      .optional(),
    /** Share of requests that are traced. @default 0.01 */
    ratio: share(0.01),
    /**
     * Whether a request is traced whose client says so in `traceparent`, and one is not whose client says no: for
     * clients that are trusted not to flood the collector. @default false: the ratio alone decides
     */
    followClients: toggle(false),
    /** Spans that wait for the collector at most; what comes beyond is given up. @default 4096 */
    maxQueuedSpans: whole(1, 1_000_000, 4_096),
  })
  .prefault({});

/** Traces, logs, metrics and error tracking. */
export const telemetrySettings = z
  .strictObject({
    /** Tenants that are counted each by its own name, in the order in which they come. @default 200 */
    maxTenants: whole(0, 100_000, 200),
    /** Share of successful requests that are logged; those that failed always are. @default 1 */
    logRatio: share(1),
    /** Whether logs and traces name users, as hashes with GATEWAY_TELEMETRY_KEY. @default false */
    users: toggle(false),
    /** Whether traces hold prompts and answers; they may be personal. @default false */
    captureContent: toggle(false),
    traces: tracesSettings,
  })
  .prefault({});

export type TelemetrySettings = z.infer<typeof telemetrySettings>;
