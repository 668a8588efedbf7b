import type { Counters, Histogram, QualityFigure } from "../contract/head.ts";

/** How one color did since a moment, for a verdict. What is undefined is not known. */
export interface Figures {
  /** Requests that were answered, or that failed by the platform's fault. */
  requests?: number | undefined;
  failures?: number | undefined;
  /** Seconds of whole requests. */
  duration?: Histogram | undefined;
  /** Seconds to the first token of streams. */
  firstToken?: Histogram | undefined;
  complaints?: number | undefined;
  quality?: QualityFigure | undefined;
}

/** What was counted between two looks. A gateway that began anew has counted all it tells since then. */
export function figuresBetween(before: Counters | undefined, after: Counters | undefined): Figures {
  if (after === undefined) return {};
  const since = before?.startedAt === after.startedAt ? before : undefined;
  return {
    requests: after.requests - (since?.requests ?? 0),
    failures: after.failures - (since?.failures ?? 0),
    duration: difference(since?.duration, after.duration),
    firstToken: difference(since?.firstToken, after.firstToken),
    complaints: complaintsBetween(before, after),
  };
}

/** Complaints count wherever they were taken, so that one gateway's new beginning cannot make them negative. */
function complaintsBetween(before: Counters | undefined, after: Counters): number | undefined {
  if (after.complaints === undefined || (before && before.complaints === undefined)) return undefined;
  return Math.max(0, after.complaints - (before?.complaints ?? 0));
}

function difference(before: Histogram | undefined, after: Histogram): Histogram {
  return {
    bounds: after.bounds,
    counts: after.counts.map((count, index) => count - (before?.counts[index] ?? 0)),
  };
}
