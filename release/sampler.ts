import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { COLORS, type Color, type Counters, type Head } from "./contract/head.ts";
import { figuresBetween } from "./figures/figures.ts";
import { quantile } from "./figures/statistics.ts";
import { type ByColor, readCounters } from "./look.ts";
import type { ColorSample, Sample } from "./samples.ts";
import type { Site } from "./site.ts";

const P95 = 0.95;

interface Reading {
  at: number;
  counters: ByColor<Counters>;
}

/** Looks at both colors again and again, and tells how they did since the look before. */
export class Sampler {
  readonly #site: Site;
  #last: Reading | undefined;

  constructor(site: Site) {
    this.#site = site;
  }

  async sample(head: Head, signal: AbortSignal): Promise<Sample> {
    const reading = { at: Date.now(), counters: await readCounters(this.#site, head, { signal }) };
    const colors = COLORS.filter((color) => head.colors[color] !== undefined);
    const samples = colors.map((color) => [color, this.#colorSample(head, color, reading)] as const);
    this.#last = reading;
    return {
      at: new Date(reading.at).toISOString(),
      stage: stageOf(head),
      weights: head.weights,
      colors: Object.fromEntries(samples),
    };
  }

  #colorSample(head: Head, color: Color, { at, counters }: Reading): ColorSample {
    const before = this.#last?.counters[color];
    const now = counters[color];
    // The first look has nothing to compare with: what a gateway did in its life before is no rate.
    const known = before && now ? figuresBetween(before, now) : {};
    const seconds = (at - (this.#last?.at ?? at)) / 1000;
    const { requests, failures, duration, firstToken } = known;
    const orNull = (value: number | undefined) => value ?? null;
    return {
      release: head.colors[color]?.release ?? "",
      requestRate: requests === undefined || seconds === 0 ? null : requests / seconds,
      errorRate: requests ? (failures ?? 0) / requests : null,
      p95Seconds: orNull(duration && quantile(duration, P95)),
      firstTokenP95Seconds: orNull(firstToken && quantile(firstToken, P95)),
      quality: orNull(head.rollout?.quality?.scores[color]?.score),
      complaints: orNull(figuresBetween(head.rollout?.baseline?.[color], now).complaints),
    };
  }
}

function stageOf({ rollout }: Head): string {
  if (rollout === undefined) return "no release under way";
  const { phase, to, from, stage, plan } = rollout;
  if (phase === "observing" || phase === "shifting") return `stage ${stage + 1} of ${plan.stages.length}`;
  return phase === "reverting" ? `back to ${from}` : `${phase} ${to}`;
}

const FILE = "samples.jsonl";

/** Keeps a sample for the report. */
export function keepSample(folder: string, sample: Sample): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  appendFileSync(path.join(folder, FILE), `${JSON.stringify(sample)}\n`, { mode: 0o600 });
}

/** The samples kept so far; a line that a crash cut off is left out. */
export function readSamples(folder: string): Sample[] {
  const file = path.join(folder, FILE);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as Sample];
    } catch {
      return [];
    }
  });
}
