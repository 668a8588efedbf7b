import type { Gates, Limits, Plan } from "./contract/strategy.ts";
import type { Figures } from "./figures/figures.ts";
import { quantile, type Share, shareAbove, totalOf, wilson } from "./figures/statistics.ts";

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
  const findings = [...findLimits(evidence), ...findGates(evidence)];
  const states = new Set(findings.map(({ state }) => state));
  const isLost = states.has("over") || (states.has("failed") && evidence.patienceIsOver);
  if (isLost) return { decision: "roll back", findings };
  const isProven = findings.every(({ state }) => state === "passed");
  return { decision: isProven && evidence.timeIsUp ? "promote" : "hold", findings };
}

/** The sentences that say why: what stands in the way, or else what was shown. */
export function reasonsOf({ decision, findings }: Verdict): string[] {
  const decisive = findings.filter(({ state }) => {
    if (decision === "roll back") return state === "over" || state === "failed";
    return decision === "hold" ? state !== "passed" : true;
  });
  if (decisive.length === 0) return ["the stage is watched for longer"];
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

const percent = (share: number): string => `${Number((share * 100).toFixed(2))} %`;
const inSeconds = (value: number | undefined): string =>
  value === undefined ? "–" : `${Number(value.toFixed(2))} s`;

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

/** What ends the release when it is proven. */
function findLimits({ own, other, limits, terms }: Evidence): Finding[] {
  const { errorRate, p95Seconds, qualityDrop, complaintRate } = limits;
  const measured = [
    errorRate === undefined ? undefined : errors(own, errorRate, terms),
    complaintRate === undefined ? undefined : complaints(own, complaintRate, terms),
    p95Seconds === undefined ? undefined : slow("response p95", own.duration, p95Seconds, terms),
    qualityDrop === undefined || other.quality === undefined
      ? undefined
      : lostQuality(own, other.quality.score * (1 - qualityDrop), terms),
  ].filter(isGiven);
  return measured.filter((one) => stateOf(one) === "failed").map((one) => toFinding(one, "over"));
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

function slower(own: Figures, other: Figures, { minimumRequests, slowdown }: Terms): Finding | undefined {
  if (!own.duration || !other.duration) return undefined;
  if (Math.min(totalOf(own.duration), totalOf(other.duration)) < minimumRequests) return undefined;
  const [ours, theirs] = [quantile(own.duration, 1 - SLOW_SHARE), quantile(other.duration, 1 - SLOW_SHARE)];
  if (ours === undefined || theirs === undefined || ours <= theirs * slowdown) return undefined;
  const text = `response p95 ${inSeconds(ours)}, the color before had ${inSeconds(theirs)}: more than ${slowdown} times as long`;
  return { figure: "response p95", state: "failed", text };
}

function shareOf(
  part: number | undefined,
  whole: number | undefined,
  { confidence }: Terms,
): Share | undefined {
  return part === undefined || whole === undefined
    ? undefined
    : wilson(Math.min(part, whole), whole, confidence);
}

function errors({ failures, requests = 0 }: Figures, limit: number, terms: Terms): Measured {
  const share = shareOf(failures, failures === undefined ? undefined : requests, terms);
  const text = `errors ${failures} of ${requests} (${percent(share?.estimate || 0)}), limit ${percent(limit)}`;
  return { figure: "errors", share, limit, sample: requests, minimum: terms.minimumRequests, text };
}

function complaints({ complaints: seen, requests = 0 }: Figures, limit: number, terms: Terms): Measured {
  const share = shareOf(seen, seen === undefined ? undefined : requests, terms);
  const text = `complaints ${seen} on ${requests} requests, limit ${percent(limit)}`;
  return { figure: "complaints", share, limit, sample: requests, minimum: terms.minimumRequests, text };
}

function slow(figure: string, histogram: Figures["duration"], limit: number, terms: Terms): Measured {
  const sample = histogram ? totalOf(histogram) : 0;
  const seen = histogram && quantile(histogram, 1 - SLOW_SHARE);
  return {
    figure,
    share: histogram && shareAbove(histogram, limit, terms.confidence),
    limit: SLOW_SHARE,
    sample,
    minimum: terms.minimumRequests,
    text: `${figure} ${inSeconds(seen)} over ${sample} requests, limit ${inSeconds(limit)}`,
  };
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
