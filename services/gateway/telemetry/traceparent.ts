/** Request header of W3C Trace Context. */
export const TRACEPARENT_HEADER = "traceparent";

/** Where a request comes from, as its client says. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  /** Whether the client records the trace. */
  readonly sampled: boolean;
}

// Version, trace id, span id, flags; later versions may have more. All zeros are no id.
const FORM = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** What the header says; undefined where it says nothing valid. */
export function readTraceparent(header: string | readonly string[] | undefined): TraceParent | undefined {
  const found = typeof header === "string" ? FORM.exec(header) : null;
  const [, version, traceId, spanId, flags, more] = found ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === "00" && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function toTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-0${sampled ? 1 : 0}`;
}
