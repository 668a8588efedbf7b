import type { Rollout } from "./contract/head.ts";
import { finished, takenBack, toStage } from "./decisions.ts";
import { type Figures, figuresBetween } from "./figures/figures.ts";
import { type ByColor, hasGone, readCounters, readQuality, together } from "./look.ts";
import { revive } from "./revive.ts";
import { addressOf, type Outcome, type Step } from "./site.ts";
import { judge, reasonsOf, type Verdict } from "./verdict.ts";

/** Prompt tests cost the models time, however often the stage is looked at. */
const LEAST_QUALITY_INTERVAL_MS = 5000;

const hours = ({ plan }: Rollout, count: number): number => count * plan.secondsPerHour * 1000;

/** Judges the stage by what both colors did in it. */
export async function observe(step: Step): Promise<Outcome> {
  const { site, head, rollout, listener, signal } = step;
  const { to } = rollout;
  const { url } = await addressOf(site, to);
  if (await hasGone(url, signal)) return { decision: takenBack(head, rollout, `${to} does not answer`) };
  listener.progress(`judging ${to}`);
  const { quality, figures } = await look(step);
  const { verdict, timeIsUp } = judgeStage(rollout, figures);
  const judged = { verdict, figures, timeIsUp };
  const isFailing = verdict.findings.some(({ state }) => state === "failed");
  const failingSince = isFailing ? (rollout.failingSince ?? new Date().toISOString()) : undefined;
  const text = reasonsOf(verdict).join("; ");
  if (verdict.decision === "roll back") return { decision: takenBack(head, rollout, text, judged), judged };
  const current = { ...rollout, quality, failingSince };
  if (verdict.decision === "promote") return promote({ ...step, rollout: current }, { text, judged });
  const held = { ...head, rollout: current };
  return { decision: { kind: "held", text, numbers: judged, head: held }, judged };
}

function promote(
  { head, rollout }: Step,
  { text, judged }: { text: string; judged: NonNullable<Outcome["judged"]> },
): Outcome {
  const { stage, plan, to } = rollout;
  if (stage + 1 < plan.stages.length) {
    const next = toStage(head, rollout, stage + 1);
    return { decision: { kind: "promoted", text, numbers: judged, head: next }, judged };
  }
  const next = finished(head, rollout);
  return {
    decision: { kind: "finished", text: `${to} is active: ${text}`, numbers: judged, head: next },
    judged,
  };
}

/** What both colors did in this stage. A color without traffic is judged by its life before it. */
async function look(step: Step) {
  const { site, head, rollout, signal } = step;
  const { to, from, baseline } = rollout;
  const counters = await readCounters(site, head, { signal });
  // It serves its share, or would have to take all traffic back.
  if (!counters[from]) await revive(step, from);
  const quality = await currentQuality({ site, head, rollout, signal });
  const isIdle = head.weights[from] === 0;
  const life = isIdle && baseline?.[from] ? figuresBetween(undefined, baseline[from]) : undefined;
  const figures: ByColor<Figures> = {
    [to]: { ...figuresBetween(baseline?.[to], counters[to]), quality: quality?.scores[to] },
    [from]: { ...(life ?? figuresBetween(baseline?.[from], counters[from])), quality: quality?.scores[from] },
  };
  return { quality, figures };
}

/** The scores of all looks of this release together, one more among them where the last is some time ago. */
async function currentQuality({ site, head, rollout, signal }: Omit<Step, "listener">) {
  const { quality, to, from, plan } = rollout;
  const interval = Math.max(hours(rollout, plan.checkHours), LEAST_QUALITY_INTERVAL_MS);
  if (quality && Date.now() - Date.parse(quality.at) < interval) return quality;
  const [own, other] = await Promise.all(
    [to, from].map((color) => readQuality(site, { head, color }, signal)),
  );
  const scores = {
    [to]: together(quality?.scores[to], own?.figure),
    [from]: together(quality?.scores[from], other?.figure),
  };
  return { at: new Date().toISOString(), scores };
}

function judgeStage(rollout: Rollout, figures: ByColor<Figures>): { verdict: Verdict; timeIsUp: boolean } {
  const { plan, to, from, since, failingSince } = rollout;
  const stage = plan.stages[rollout.stage] ?? { gates: {}, hours: 0 };
  const timeIsUp = Date.now() - Date.parse(since) >= hours(rollout, stage.hours);
  const failingMs = failingSince === undefined ? 0 : Date.now() - Date.parse(failingSince);
  const verdict = judge({
    own: figures[to] ?? {},
    other: figures[from] ?? {},
    gates: stage.gates,
    limits: plan.rollback,
    timeIsUp,
    patienceIsOver: failingSince !== undefined && failingMs >= plan.patienceSeconds * 1000,
    terms: plan,
  });
  return { verdict, timeIsUp };
}
