import type { Color, Weights } from "./contract/head.ts";

/** How one color did in one interval. A figure that nobody knows is null. */
export interface ColorSample {
  release: string;
  /** Requests a second. */
  requestRate: number | null;
  /** Share of the requests that failed. */
  errorRate: number | null;
  /** Seconds that 95 of 100 whole requests stayed below. */
  p95Seconds: number | null;
  /** The same of the time to the first token of streams. */
  firstTokenP95Seconds: number | null;
  /** Mean score of the prompt tests that were run last. */
  quality: number | null;
  /** Complaints since the stage began. */
  complaints: number | null;
}

/** One look at a release under way: what its view shows and its report plots. */
export interface Sample {
  at: string;
  /** Such as "deploying green" or "stage 2 of 4". */
  stage: string;
  weights: Weights;
  colors: Partial<Record<Color, ColorSample>>;
  decision?: "promote" | "hold" | "roll back";
  /** Why, one sentence each. */
  reasons?: string[];
}

/** What a report tells about one release. */
export interface ReleaseReport {
  environment: string;
  number: number;
  release: string;
  label?: string;
  previous: string;
  strategy: string;
  by: string;
  startedAt: string;
  endedAt: string;
  outcome: "released" | "rolled back" | "under way";
  reason?: string;
  /** What the release changed, by part. */
  changes: string[];
  to: Color;
  from: Color;
  samples: Sample[];
  /** The journal of this release. */
  decisions: { at: string; kind: string; text: string }[];
}
