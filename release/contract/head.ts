import { z } from "zod";
import { frozenPlan } from "./strategy.ts";

export const COLORS = ["blue", "green"] as const;
const color = z.enum(COLORS);
export type Color = z.infer<typeof color>;

export const otherColor = (one: Color): Color => (one === "blue" ? "green" : "blue");

/** Percent of the traffic by color; they add up to 100. */
const weights = z.strictObject({ blue: z.int().min(0).max(100), green: z.int().min(0).max(100) });
export type Weights = z.infer<typeof weights>;

/** All traffic to one color, or a share of it to the other. */
export function weightsFor(main: Color, shareOfOther = 0): Weights {
  const other = otherColor(main);
  return { blue: 0, green: 0, [main]: 100 - shareOfOther, [other]: shareOfOther };
}

const assignment = z.strictObject({
  /** Id of the release that the color serves. */
  release: z.string(),
  label: z.string().optional(),
});
export type Assignment = z.infer<typeof assignment>;

const histogram = z.strictObject({ bounds: z.array(z.number()), counts: z.array(z.number()) });

/** What a color's gateway has counted since it started. */
export const counters = z.strictObject({
  /** Seconds since the epoch; another value means that the counts began anew. */
  startedAt: z.number(),
  requests: z.number(),
  failures: z.number(),
  duration: histogram,
  firstToken: histogram,
  /** Bad ratings of this release's answers; left out where a gateway that may know of some did not tell. */
  complaints: z.number().optional(),
});
export type Counters = z.infer<typeof counters>;
export type Histogram = z.infer<typeof histogram>;

export const quality = z.strictObject({ score: z.number(), samples: z.number() });
export type QualityFigure = z.infer<typeof quality>;

/**
 * deploying: the color is brought up · checking: its own address is tried · shifting: the weights of a stage are set ·
 * observing: the stage is judged · reverting: the weights are set back · removing: the color that lost is ended
 */
const PHASES = ["deploying", "checking", "shifting", "observing", "reverting", "removing"] as const;

const rollout = z.strictObject({
  by: z.string(),
  startedAt: z.string(),
  /** The color that serves before the release. */
  from: color,
  /** The color that the release is put on. */
  to: color,
  plan: frozenPlan,
  phase: z.enum(PHASES),
  /** Index of the stage in the plan. */
  stage: z.int(),
  /** When the phase began. */
  since: z.string(),
  /** What both colors had counted when the stage began. */
  baseline: z.partialRecord(color, counters).optional(),
  /** Scores of the prompt tests, by color. */
  quality: z.strictObject({ at: z.string(), scores: z.partialRecord(color, quality) }).optional(),
  /** Since when the stage has shown that it does not pass its gates. */
  failingSince: z.string().optional(),
  /** Why it is taken back. */
  reason: z.string().optional(),
});
export type Rollout = z.infer<typeof rollout>;
export type Phase = Rollout["phase"];

/** Where an environment's releases stand: all that the colors' and the traffic's programs and the controller go by. */
export const head = z.strictObject({
  /** What runs, or is to run, on each color. */
  colors: z.partialRecord(color, assignment),
  active: color,
  weights,
  /** Number of the decision that set the weights: whoever comes with a lower one is refused by the router. */
  generation: z.int().min(1),
  /** How many releases were asked for so far. */
  number: z.int().min(0),
  rollout: rollout.optional(),
  /** The last release, whose color before it is ready to take all traffic back until then. */
  warm: z.strictObject({ rollout, until: z.string() }).optional(),
});
export type Head = z.infer<typeof head>;
