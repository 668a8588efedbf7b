import { z } from "zod";

/** Timers count up to 24 days. */
const MAX_HOURS = 500;
const HOURS = `is no number of hours from 0 to ${MAX_HOURS}; give one`;
const MAX_SECONDS = MAX_HOURS * 3600;
const SECONDS = `is no number of seconds from 0 to ${MAX_SECONDS}; give one`;

const share = (what: string) =>
  z
    .number({ error: `is no number; give ${what} from 0 to 1` })
    .min(0, { error: `is below 0; give ${what} from 0 to 1` })
    .max(1, { error: `is above 1; give ${what} from 0 to 1` });

const positive = (what: string) =>
  z
    .number({ error: `is no number; give ${what} above 0` })
    .positive({ error: `is not above 0; give ${what} above 0` });

const count = (what: string) =>
  z.int({ error: `is no whole number; give ${what}` }).min(1, { error: `is below 1; give ${what}` });

/** What a stage must prove before the release goes on. A figure that is left out is not asked for. */
const gates = z.strictObject({
  /** Share of requests that may fail. */
  errorRate: share("the share of failed requests").optional(),
  /** Seconds that 95 of 100 whole requests must stay below. */
  p95Seconds: positive("seconds").optional(),
  /** Seconds that the first token of 95 of 100 streams must stay below. */
  firstTokenP95Seconds: positive("seconds").optional(),
  /** Lowest mean score of the prompt tests. */
  quality: share("the lowest score").optional(),
});

/** What ends a release at once, at whatever stage. */
const limits = z.strictObject({
  /** Share of requests that failed. */
  errorRate: share("the share of failed requests").optional(),
  /** Seconds that more than 5 of 100 whole requests took. */
  p95Seconds: positive("seconds").optional(),
  /** Share by which the quality lies below that of the color before. */
  qualityDrop: share("the share of quality lost").optional(),
  /** Complaints by users, as a share of the requests. */
  complaintRate: share("the share of complaints").optional(),
});

const stage = z.strictObject({
  /** Percent of the traffic that the new color gets. */
  weight: z
    .int({ error: "is no whole number; give percent from 1 to 100" })
    .min(1, { error: "is below 1; give percent from 1 to 100" })
    .max(100, { error: "is above 100; give percent from 1 to 100" }),
  /** Hours that the stage is watched at least. */
  hours: z.number({ error: HOURS }).min(0, { error: HOURS }).max(MAX_HOURS, { error: HOURS }),
  gates: gates,
});

const stages = z
  .array(stage, { error: "is no list; give at least one stage" })
  .min(1, { error: "is empty; give at least one stage" })
  .refine(
    (list) => list.at(-1)?.weight === 100,
    "does not end with all traffic; give the last stage weight 100",
  )
  .refine(
    (list) => list.every(({ weight }, index) => weight > (list[index - 1]?.weight ?? 0)),
    "has a weight that does not rise; give each stage more than the one before",
  );

const plan = z.strictObject({
  stages,
  rollback: limits,
  /** Hours between two looks at the figures. */
  checkHours: positive("hours").max(MAX_HOURS, { error: HOURS }),
  /** How sure a figure must be to count as proven. */
  confidence: z
    .number({ error: "is no number; give a share such as 0.95" })
    .gt(0.5, { error: "proves nothing; give a share above 0.5, such as 0.95" })
    .lt(1, { error: "can never be reached; give a share below 1, such as 0.95" }),
  /** Requests that a figure rests on at least. */
  minimumRequests: count("a number of requests"),
  /** Answers to prompt tests that the quality rests on at least. */
  minimumQualitySamples: count("a number of answers"),
  /** How many times as long as the color before the p95 may take before the release holds. */
  slowdown: positive("a factor"),
});

export type Gates = z.infer<typeof gates>;
export type Limits = z.infer<typeof limits>;
export type Stage = z.infer<typeof stage>;
export type Plan = z.infer<typeof plan>;

const STRATEGY_NAMES = ["blue-green", "canary"] as const;
export type StrategyName = (typeof STRATEGY_NAMES)[number];

const COMMON = {
  /** Requirements D3: checked every 5 minutes. */
  checkHours: 5 / 60,
  confidence: 0.95,
  minimumRequests: 50,
  minimumQualitySamples: 20,
  slowdown: 2,
};

/** The strategies with the figures of the requirements. */
export const STRATEGIES: Record<StrategyName, Plan> = {
  /** Requirements D2: one switch, judged by errors, response time and quality. */
  "blue-green": {
    ...COMMON,
    stages: [{ weight: 100, hours: 0.25, gates: { errorRate: 0.001, p95Seconds: 2, quality: 0.85 } }],
    rollback: { errorRate: 0.01, qualityDrop: 0.1, complaintRate: 0.01 },
  },
  /** Requirements D3: a stage keeps the gates of those before it. */
  canary: {
    ...COMMON,
    stages: [
      { weight: 5, hours: 2, gates: { errorRate: 0.005 } },
      { weight: 25, hours: 4, gates: { errorRate: 0.005, quality: 0.8 } },
      { weight: 50, hours: 8, gates: { errorRate: 0.005, quality: 0.8, p95Seconds: 3 } },
      { weight: 100, hours: 0, gates: { errorRate: 0.005, quality: 0.8, p95Seconds: 3 } },
    ],
    rollback: { errorRate: 0.02, p95Seconds: 10, qualityDrop: 0.15, complaintRate: 0.01 },
  },
};

const wait = (fallback: number) =>
  z
    .number({ error: SECONDS })
    .min(0, { error: SECONDS })
    .max(MAX_SECONDS, { error: SECONDS })
    .default(fallback);

const seconds = z.strictObject({
  /** Seconds that a color may take to become ready before the release is given up. Default: 1800. */
  readySeconds: wait(1800),
  /** Seconds after which a stage that proved unable to pass its gates is rolled back. Default: 86400. */
  patienceSeconds: wait(86_400),
  /** Seconds that the old color stays ready for a rollback after the release. Default: 3600. */
  warmSeconds: wait(3600),
});

/** How releases of an environment proceed, as the traffic stack's settings say it. */
export const rolloutSettings = z.strictObject({
  /** Default: blue-green. */
  strategy: z
    .enum(STRATEGY_NAMES, { error: 'is unknown; use "blue-green" or "canary"' })
    .default("blue-green"),
  /** Seconds that an hour of a plan takes: a machine to try things out on need not wait for hours. Default: 3600. */
  secondsPerHour: positive("seconds").max(3600, { error: "is above 3600; give 3600 at most" }).default(3600),
  /** Parts of the plans in `STRATEGIES` to replace, by strategy. Default: none. */
  plans: z
    .strictObject({ "blue-green": plan.partial().optional(), canary: plan.partial().optional() })
    .prefault({}),
  ...seconds.shape,
  /** Releases of the past whose snapshots are kept, to go back to them. Default: 20. */
  keepReleases: count("a number of releases").default(20),
  /** Requests a second that a release sends through the router while it is watched; 0 for none. Default: 0. */
  loadPerSecond: z
    .int({ error: "is no whole number; give requests a second, or 0 for none" })
    .min(0, { error: "is below 0; give requests a second, or 0 for none" })
    .max(2000, { error: "is above 2000; give requests a second, 2000 at most" })
    .default(0),
});

export type RolloutSettings = z.infer<typeof rolloutSettings>;

/** A plan as it is carried out: frozen in the journal when the release begins. */
export const frozenPlan = plan.extend({
  strategy: z.enum(STRATEGY_NAMES),
  secondsPerHour: z.number(),
  readySeconds: z.number(),
  patienceSeconds: z.number(),
  warmSeconds: z.number(),
});
export type FrozenPlan = z.infer<typeof frozenPlan>;

/** The plan of the settings' strategy, or of another one. */
export function planOf(settings: RolloutSettings, strategy: StrategyName = settings.strategy): FrozenPlan {
  const own = Object.entries(settings.plans[strategy] ?? {}).filter(([, value]) => value !== undefined);
  return {
    ...STRATEGIES[strategy],
    ...Object.fromEntries(own),
    strategy,
    secondsPerHour: settings.secondsPerHour,
    readySeconds: settings.readySeconds,
    patienceSeconds: settings.patienceSeconds,
    warmSeconds: settings.warmSeconds,
  };
}

export const isStrategy = (name: string): name is StrategyName =>
  (STRATEGY_NAMES as readonly string[]).includes(name);
