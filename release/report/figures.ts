import type { Color } from "../contract/head.ts";
import type { ColorSample, Sample } from "../samples.ts";
import { type Figure, percent, score, seconds } from "./format.ts";

/** One figure over time, as it is plotted and tabled. */
export interface Plotted {
  title: string;
  valueOf(sample: Sample, color: Color): number | null;
  /** The worse of two values: what a row that stands for several samples shows. */
  worse: "higher" | "lower" | "later";
  format(value: Figure): string;
  /** The axis reaches from 0 at least to here. */
  top: number;
  /** Whether the axis tells a share as percent. */
  percent?: boolean;
  /** Whether a value holds until the next one, instead of changing evenly. */
  steps?: boolean;
}

type Measured = Exclude<keyof ColorSample, "release">;

const measured =
  (figure: Measured): Plotted["valueOf"] =>
  ({ colors }, color) => {
    const value = colors[color]?.[figure];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };

export const PLOTTED: Plotted[] = [
  {
    title: "Share of the traffic",
    valueOf: ({ weights }, color) => weights[color] / 100,
    worse: "later",
    format: percent,
    top: 1,
    percent: true,
    steps: true,
  },
  {
    title: "Failed requests",
    valueOf: measured("errorRate"),
    worse: "higher",
    format: percent,
    top: 0.01,
    percent: true,
  },
  {
    title: "Time of whole requests, 95th percentile, seconds",
    valueOf: measured("p95Seconds"),
    worse: "higher",
    format: seconds,
    top: 0.1,
  },
  {
    title: "Time to the first token, 95th percentile, seconds",
    valueOf: measured("firstTokenP95Seconds"),
    worse: "higher",
    format: seconds,
    top: 0.1,
  },
  {
    title: "Quality, mean score of the prompt tests",
    valueOf: measured("quality"),
    worse: "lower",
    format: score,
    top: 1,
  },
];

/** A sample with its moment in milliseconds. */
export interface Timed {
  time: number;
  sample: Sample;
}

/** Samples in their order; those without a moment have no place on a plot. */
export function timed(samples: readonly Sample[]): Timed[] {
  return samples
    .map((sample) => ({ time: Date.parse(sample.at), sample }))
    .filter(({ time }) => Number.isFinite(time))
    .sort((a, b) => a.time - b.time);
}

/** The value that stands for several samples: the worst one, or the last where none is worse. */
export function worstOf(figure: Plotted, samples: readonly Sample[], color: Color): number | null {
  const values = samples.map((sample) => figure.valueOf(sample, color)).filter((value) => value !== null);
  const worse = { higher: Math.max, lower: Math.min, later: (_: number, last: number) => last }[figure.worse];
  return values.length === 0 ? null : values.reduce((worst, value) => worse(worst, value));
}
