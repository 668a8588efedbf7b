import type { Histogram } from "./contract/head.ts";
import type { Gates, Limits, Plan } from "./contract/strategy.ts";
import type { Figures } from "./figures/figures.ts";
import { isBeyondBounds, quantile, type Share, shareAbove, totalOf, wilson } from "./figures/statistics.ts";
import { percent, seconds } from "./report/format.ts";

export type Decision = "promote" | "hold" | "roll back";

/**
 * passed: proven good enough · unproven: too little was seen to say · unknown: nobody told ·
 * failed: proven not good enough to go on · over: proven bad enough to end the release
 */
type State = "passed" | "unproven" | "unknown" | "failed" | "over";

/** What one figure says. */
export interface Finding {
  figure: string;
  state: State;
  /** For people: the figure, its limit and what it rests on. */
  text: string;
}

export interface Verdict {
  decision: Decision;
  findings: Finding[];
}

export interface Evidence {
  /** The color with the new release, since the stage began. */
  own: Figures;
  /** The color before it: over the same time, or over its life where it gets no traffic. */
  other: Figures;
  gates: Gates;
  limits: Limits;
  /** Whether the stage was watched for as long as the plan asks. */
  timeIsUp: boolean;
  /** Whether a stage that fails its gates is given no more time. */
  patienceIsOver: boolean;
  terms: Pick<Plan, "confidence" | "minimumRequests" | "minimumQualitySamples" | "slowdown">;
}

/**
 * Promote, hold or roll back: by the numbers alone. What is unknown or not proven holds; only a proven excess ends a
 * release, and only proven figures let it go on.
 */
export function judge(evidence: Evidence): Verdict {
  const findings = withoutDoubles([...findLimits(evidence), ...findGates(evidence)]);
  const states = new Set(findings.map(({ state }) => state));
  const isLost = states.has("over") || (states.has("failed") && evidence.patienceIsOver);
  if (isLost) return { decision: "roll back", findings };
  const isProven = findings.every(({ state }) => state === "passed");
  return { decision: isProven && evidence.timeIsUp ? "promote" : "hold", findings };
}

/** A figure that both a gate and a limit ask for is unknown once. */
const withoutDoubles = (findings: Finding[]): Finding[] =>
  findings.filter(({ text }, index) => findings.findIndex((one) => one.text === text) === index);

/** The sentences that say why: what stands in the way, or else what was shown. */
export function reasonsOf({ decision, findings }: Verdict): string[] {
  const decisive = findings.filter(({ state }) => {
    if (decision === "roll back") return state === "over" || state === "failed";
    return decision === "hold" ? state !== "passed" : true;
  });
  if (decisive.length === 0)
    return [decision === "hold" ? "the stage is watched for longer" : "nothing is asked for"];
  return decisive.map(({ text }) => text);
}

/** p95: 5 of 100 requests may take longer. */
const SLOW_SHARE = 0.05;

type Terms = Evidence["terms"];

/** A share of something bad, and how much of it there may be. */
interface Measured {
  figure: string;
  /** Undefined where nobody told. */
  share: Share | undefined;
  limit: number;
  sample: number;
  minimum: number;
  /** For people: what was seen and what is allowed. */
  text: string;
}

function stateOf({ share, limit, sample, minimum }: Measured): State {
  if (share === undefined) return "unknown";
  if (sample < minimum) return "unproven";
  if (share.upper < limit) return "passed";
  return share.lower > limit ? "failed" : "unproven";
}

const FOLLOW: Record<State, string> = {
  passed: "proven",
  unproven: "not proven yet",
  unknown: "unknown",
  failed: "too much",
  over: "ends the release",
};

function toFinding(measured: Measured, state: State): Finding {
  const { figure, text, sample, minimum } = measured;
  const few =
    state === "unproven" && sample < minimum ? `only ${sample} of at least ${minimum}` : FOLLOW[state];
  return { figure, state, text: state === "unknown" ? `${figure} unknown` : `${text}: ${few}` };
}

const isGiven = <T>(value: T | undefined): value is T => value !== undefined;

/** What must be shown before the stage ends. */
function findGates({ own, other, gates, terms }: Evidence): Finding[] {
  const { errorRate, p95Seconds, firstTokenP95Seconds, quality } = gates;
  const measured = [
    errorRate === undefined ? undefined : errors(own, errorRate, terms),
    p95Seconds === undefined ? undefined : slow("response p95", own.duration, p95Seconds, terms),
    firstTokenP95Seconds === undefined
      ? undefined
      : slow("first token p95", own.firstToken, firstTokenP95Seconds, terms),
    quality === undefined ? undefined : lostQuality(own, quality, terms),
  ].filter(isGiven);
  return [...measured.map((one) => toFinding(one, stateOf(one))), ...findWorse(own, other, terms)];
}

/** What ends the release when it is proven, and what cannot because nobody tells. */
function findLimits(evidence: Evidence): Finding[] {
  const { own, limits, terms } = evidence;
  const { errorRate, p95Seconds, complaintRate } = limits;
  const measured = [
    errorRate === undefined ? undefined : errors(own, errorRate, terms),
    complaintRate === undefined ? undefined : complaints(own, complaintRate, terms),
    p95Seconds === undefined ? undefined : slow("response p95", own.duration, p95Seconds, terms),
    ...droppedQuality(evidence),
  ].filter(isGiven);
  return measured.flatMap((one) => {
    const state = stateOf(one);
    if (state === "unknown") return toFinding(one, state);
    return state === "failed" ? toFinding(one, "over") : [];
  });
}

/** A color before whose quality nobody told sets no lowest one, and is a figure that is missing itself. */
function droppedQuality({ own, other, limits: { qualityDrop }, terms }: Evidence): Measured[] {
  if (qualityDrop === undefined) return [];
  const lost = lostQuality(own, (other.quality?.score ?? 0) * (1 - qualityDrop), terms);
  return other.quality
    ? [lost]
    : [lost, { ...lost, figure: "quality of the color before", share: undefined }];
}

/** Where the new color is proven worse than the one before it, though within the limits: someone should look. */
function findWorse(own: Figures, other: Figures, terms: Terms): Finding[] {
  return [moreErrors(own, other, terms), slower(own, other, terms)].filter(isGiven);
}

function moreErrors(own: Figures, other: Figures, terms: Terms): Finding | undefined {
  const [ours, theirs] = [own, other].map(({ failures, requests }) => shareOf(failures, requests, terms));
  if (!ours || !theirs || Math.min(own.requests ?? 0, other.requests ?? 0) < terms.minimumRequests)
    return undefined;
  if (ours.lower <= theirs.upper) return undefined;
  const text = `errors ${percent(ours.estimate)}, the color before had ${percent(theirs.estimate)}: worse than before`;
  return { figure: "errors", state: "failed", text };
}

/** Buckets tell no exact p95, so both sides are compared by bounds that each one's p95 is proven to lie beyond. */
function slower(own: Figures, other: Figures, terms: Terms): Finding | undefined {
  const { minimumRequests, slowdown, confidence } = terms;
  if (!own.duration || !other.duration) return undefined;
  if (Math.min(totalOf(own.duration), totalOf(other.duration)) < minimumRequests) return undefined;
  const theirs = p95Below(other.duration, confidence);
  const ours = own.duration.bounds.find((bound) => theirs !== undefined && bound >= theirs * slowdown);
  if (ours === undefined || shareAbove(own.duration, ours, confidence).lower <= SLOW_SHARE) return undefined;
  const text = `response p95 above ${seconds(ours)}, the color before had at most ${seconds(theirs)}: more than ${slowdown} times as long`;
  return { figure: "response p95", state: "failed", text };
}

/** The lowest bound that the p95 is proven to lie below, if there is any. */
const p95Below = (histogram: Histogram, confidence: number): number | undefined =>
  histogram.bounds.find((bound) => shareAbove(histogram, bound, confidence).upper < SLOW_SHARE);

function shareOf(
  part: number | undefined,
  whole: number | undefined,
  { confidence }: Terms,
): Share | undefined {
  return part === undefined || whole === undefined
    ? undefined
    : wilson(Math.min(part, whole), whole, confidence);
}

function errors({ failures, requests }: Figures, limit: number, terms: Terms): Measured {
  const share = shareOf(failures, requests, terms);
  const text = `errors ${failures} of ${requests} (${percent(share?.estimate)}), limit ${percent(limit)}`;
  return { figure: "errors", share, limit, sample: requests ?? 0, minimum: terms.minimumRequests, text };
}

function complaints({ complaints: seen, requests }: Figures, limit: number, terms: Terms): Measured {
  const share = shareOf(seen, requests, terms);
  const text = `complaints ${seen} on ${requests} requests, limit ${percent(limit)}`;
  return { figure: "complaints", share, limit, sample: requests ?? 0, minimum: terms.minimumRequests, text };
}

function slow(figure: string, histogram: Figures["duration"], limit: number, terms: Terms): Measured {
  const sample = histogram ? totalOf(histogram) : 0;
  return {
    figure,
    share: histogram && shareAbove(histogram, limit, terms.confidence),
    limit: SLOW_SHARE,
    sample,
    minimum: terms.minimumRequests,
    text: `${figure} ${p95Of(histogram)} over ${sample} requests, limit ${limit} s`,
  };
}

function p95Of(histogram: Histogram | undefined): string {
  const p95 = seconds(histogram && quantile(histogram, 1 - SLOW_SHARE));
  return histogram && isBeyondBounds(histogram, 1 - SLOW_SHARE) ? `> ${p95}` : p95;
}

function lostQuality({ quality }: Figures, lowest: number, terms: Terms): Measured {
  const samples = quality?.samples ?? 0;
  return {
    figure: "quality",
    share: quality && wilson((1 - quality.score) * samples, samples, terms.confidence),
    limit: 1 - lowest,
    sample: samples,
    minimum: terms.minimumQualitySamples,
    text: `quality ${quality?.score.toFixed(2)} over ${samples} answers, at least ${lowest.toFixed(2)}`,
  };
}
