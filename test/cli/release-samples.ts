import type { ColorSample, Sample } from "../../release/samples.ts";

const BEGIN = Date.parse("2026-11-21T08:00:00Z");

export const color = (figures: Partial<ColorSample> = {}): ColorSample => ({
  release: "3f2a9c1b77aa",
  requestRate: 12.34,
  errorRate: 0.0004,
  p95Seconds: 0.812,
  firstTokenP95Seconds: 0.2,
  quality: 0.8499,
  complaints: 3,
  ...figures,
});

export const sampleAt = (second: number, fields: Partial<Sample> = {}): Sample => ({
  at: new Date(BEGIN + second * 1000).toISOString(),
  stage: "stage 2 of 4",
  weights: { blue: 75, green: 25 },
  colors: { blue: color(), green: color({ release: "9c1b3f2a0011", errorRate: null, p95Seconds: 1.5 }) },
  decision: "hold",
  reasons: ["too few requests"],
  ...fields,
});
