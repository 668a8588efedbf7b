import { renderReport } from "../../../release/report/index.ts";
import type { ColorSample, ReleaseReport, Sample } from "../../../release/samples.ts";

export const BEGIN = Date.parse("2026-11-21T08:00:00Z");
const SECOND_MS = 1000;

export const colorSample = (figures: Partial<ColorSample> = {}): ColorSample => ({
  release: "3f2a9c1b77aa",
  requestRate: 12,
  errorRate: 0,
  p95Seconds: 0.8,
  firstTokenP95Seconds: 0.2,
  quality: 0.9,
  complaints: 0,
  ...figures,
});

/** A sample some seconds after the release began. */
export const sampleAt = (second: number, fields: Partial<Sample> = {}): Sample => ({
  at: new Date(BEGIN + second * SECOND_MS).toISOString(),
  stage: "stage 1 of 1",
  weights: { blue: 75, green: 25 },
  colors: { blue: colorSample(), green: colorSample({ release: "9c1b3f2a0011" }) },
  ...fields,
});

/** A report over as many seconds as it has samples. */
export const report = (fields: Partial<ReleaseReport> = {}): ReleaseReport => ({
  environment: "local",
  number: 7,
  release: "9c1b3f2a0011",
  previous: "3f2a9c1b77aa",
  strategy: "canary",
  by: "ana@build-3",
  startedAt: new Date(BEGIN).toISOString(),
  endedAt: new Date(BEGIN + (fields.samples?.length ?? 60) * SECOND_MS).toISOString(),
  outcome: "released",
  changes: ["gateway"],
  to: "green",
  from: "blue",
  samples: [],
  decisions: [],
  ...fields,
});

/** The plots of a report, in their order. */
export function plotsOf(document: string): string[] {
  return [...document.matchAll(/<figure>.*?<\/figure>/gsu)].map(([figure]) => figure);
}

/** The plot with this title. */
export function plotOf(fields: Partial<ReleaseReport>, title: string): string {
  const found = plotsOf(renderReport(report(fields))).find((plot) => plot.includes(`<title>${title}`));
  if (!found) throw new Error(`the report has no plot "${title}"`);
  return found;
}

type Place = [x: number, y: number];

/** The lines of a color in a plot, each without a gap. */
export function linesOf(plot: string, color: "blue" | "green"): Place[][] {
  const path = new RegExp(`<path class="series ${color}" d="([^"]*)"`, "u").exec(plot)?.[1];
  if (path === undefined) throw new Error(`the plot has no line for ${color}`);
  return path
    .split("M")
    .slice(1)
    .map((part) =>
      part
        .replace("Z", "")
        .split("L")
        .map((place) => place.split(",").map(Number) as Place),
    );
}

/** The height that a value has in a plot, by the ticks of its axis. */
export function heightOf(plot: string, value: number): number {
  const tick = /<line class="grid"[^>]* y1="([\d.]+)"[^>]*\/>\s*<text[^>]*>([\d.]+)(%?)</gu;
  const ticks = [...plot.matchAll(tick)].map(
    ([, y, text, percent]) => [Number(text) / (percent ? 100 : 1), Number(y)] as const,
  );
  const [lowest, highest] = [ticks[0], ticks.at(-1)];
  if (!lowest || !highest) throw new Error("the plot has no axis");
  const share = (value - lowest[0]) / (highest[0] - lowest[0]);
  return lowest[1] + share * (highest[1] - lowest[1]);
}
