import { RunFailed } from "../automation/index.ts";
import { smoke } from "./checks/smoke.ts";
import type { Head, Phase, Rollout } from "./contract/head.ts";
import type { Stage } from "./contract/strategy.ts";
import { enter, finished, removed, takenBack, toStage } from "./decisions.ts";
import { type Figures, figuresBetween } from "./figures/figures.ts";
import type { Decision } from "./journal.ts";
import { type ByColor, becomesReady, hasGone, readCounters, readQuality } from "./look.ts";
import { addressOf, type Listener, type Site } from "./site.ts";
import { judge, reasonsOf, type Verdict } from "./verdict.ts";

/** What a phase works with. */
export interface Step {
  site: Site;
  head: Head;
  rollout: Rollout;
  listener: Listener;
  signal: AbortSignal;
}

/** A decision to write down, with what was seen on the way to it. */
export interface Outcome {
  decision?: Decision;
  /** Where a stage was judged. */
  judged?: { verdict: Verdict; figures: ByColor<Figures> };
}

/** Does the work of a phase, which may have been done before, and says what follows. */
export const PHASES: Record<Phase, (step: Step) => Promise<Outcome>> = {
  deploying: deploy,
  checking: check,
  shifting: shift,
  observing: observe,
  reverting: revert,
  removing: remove,
};

const milliseconds = ({ plan }: Rollout, hours: number): number => hours * plan.secondsPerHour * 1000;

async function deploy({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  const { to } = rollout;
  listener.progress(`bringing up ${to}`);
  try {
    await site.colors[to].up({ refresh: true, signal, onEvent: listener.event });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof RunFailed)) throw error;
    return {
      decision: takenBack(head, rollout, `${to} could not be brought up: ${error.problems.join("; ")}`),
    };
  }
  const next = { ...head, rollout: enter(rollout, { phase: "checking" as const }) };
  return { decision: { kind: "deployed", text: `${to} is up`, head: next } };
}

/** Tries the color on its own address, where no client is. */
async function check(step: Step): Promise<Outcome> {
  const { site, head, rollout, listener, signal } = step;
  const { to } = rollout;
  const giveUp = (reason: string, numbers?: unknown) => ({
    decision: takenBack(head, rollout, reason, numbers),
  });
  const { url, models } = await addressOf(site, to);
  listener.progress(`waiting until ${to} is ready`);
  const ready = await becomesReady(url, rollout.plan.readySeconds * 1000, signal);
  if (!ready) return giveUp(`${to} did not become ready`);
  listener.progress(`smoke suite on ${to}`);
  const failed = (await smoke({ url, key: site.key, models, signal })).filter(({ passed }) => !passed);
  if (failed.length > 0) {
    return giveUp(
      `smoke suite on ${to}: ${failed.map(({ name, problem }) => `${name}: ${problem}`).join("; ")}`,
      failed,
    );
  }
  return judgeIdle(step);
}

/** Errors, response time and quality of the prompt tests decide whether any client is sent there. */
async function judgeIdle({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  const { to, from, plan } = rollout;
  listener.progress(`prompt tests on ${to}`);
  const before = (await readCounters(site, head, signal))[to];
  const own = await readQuality(site, { head, color: to }, signal);
  const after = (await readCounters(site, head, signal))[to];
  const other = await readQuality(site, { head, color: from }, signal).catch(() => undefined);
  signal.throwIfAborted();
  const figures = {
    [to]: { ...figuresBetween(before, after), quality: own.figure },
    [from]: { quality: other?.figure },
  };
  const strictest = Object.assign({}, ...plan.stages.map(({ gates }) => gates));
  const verdict = judge({
    own: figures[to] ?? {},
    other: figures[from] ?? {},
    gates: strictest,
    limits: plan.rollback,
    timeIsUp: true,
    // Nobody is served here: what is proven not good enough needs no more time.
    patienceIsOver: true,
    terms: { ...plan, minimumRequests: 1 },
  });
  const judged = { verdict, figures };
  if (verdict.decision === "roll back") {
    const reason = `prompt tests on ${to}: ${[...reasonsOf(verdict), ...own.problems.slice(0, 3)].join("; ")}`;
    return { decision: takenBack(head, rollout, reason, judged), judged };
  }
  const quality = { at: new Date().toISOString(), scores: { [to]: own.figure, [from]: other?.figure } };
  const doubts = doubtsOnQuality(verdict, plan.stages[0]);
  if (doubts) {
    const held = { ...head, rollout: { ...rollout, quality } };
    return { decision: { kind: "held", text: doubts, numbers: judged, head: held }, judged };
  }
  const next = toStage(head, { ...rollout, quality }, 0);
  const text = `${to} passed the smoke suite; quality ${own.figure?.score.toFixed(2) ?? "unknown"}`;
  return { decision: { kind: "checked", text, numbers: judged, head: next }, judged };
}

/** Why the first stage may not begin yet, where it asks for a quality that is not shown. */
function doubtsOnQuality({ findings }: Verdict, stage: Stage | undefined): string | undefined {
  const finding = findings.find(({ figure }) => figure === "quality");
  return stage?.gates.quality === undefined || finding?.state === "passed" ? undefined : finding?.text;
}

/** Sets a stage's weights: at the router, then in the traffic's stack. */
async function shift({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  const weight = head.weights[rollout.to];
  listener.progress(`${weight} % to ${rollout.to}`);
  const baseline = rollout.baseline ?? (await readCounters(site, head, signal));
  await site.router.move(head.generation, head.weights);
  await site.traffic.up({ refresh: true, signal, onEvent: listener.event });
  const next = { ...head, rollout: enter(rollout, { phase: "observing", baseline }) };
  return { decision: { kind: "shifted", text: `${weight} % of the traffic to ${rollout.to}`, head: next } };
}

async function observe(step: Step): Promise<Outcome> {
  const { site, head, rollout, listener, signal } = step;
  const { to, stage } = rollout;
  const { url } = await addressOf(site, to);
  if (await hasGone(url, signal)) return { decision: takenBack(head, rollout, `${to} does not answer`) };
  listener.progress(`judging ${to}`);
  const { quality, figures } = await look(step);
  const verdict = judgeStage(step, figures);
  const judged = { verdict, figures };
  const reasons = reasonsOf(verdict).join("; ");
  const current = { ...rollout, quality };
  if (verdict.decision === "roll back")
    return { decision: takenBack(head, rollout, reasons, judged), judged };
  if (verdict.decision === "hold") {
    return {
      decision: { kind: "held", text: reasons, numbers: judged, head: { ...head, rollout: current } },
      judged,
    };
  }
  if (stage + 1 < rollout.plan.stages.length) {
    const next = toStage(head, current, stage + 1);
    return { decision: { kind: "promoted", text: reasons, numbers: judged, head: next }, judged };
  }
  const text = `${to} is active: ${reasons}`;
  return { decision: { kind: "finished", text, numbers: judged, head: finished(head, current) }, judged };
}

/** What both colors did in this stage. */
async function look({ site, head, rollout, signal }: Step) {
  const { to, from, baseline } = rollout;
  const counters = await readCounters(site, head, signal);
  const quality = await currentQuality({ site, head, rollout, signal });
  const isIdle = head.weights[from] === 0;
  const life = isIdle && baseline?.[from] ? figuresBetween(undefined, baseline[from]) : undefined;
  const figures: ByColor<Figures> = {
    [to]: { ...figuresBetween(baseline?.[to], counters[to]), quality: quality?.scores[to] },
    [from]: { ...(life ?? figuresBetween(baseline?.[from], counters[from])), quality: quality?.scores[from] },
  };
  return { quality, figures };
}

/** Prompt tests cost the models time: they are run once in a while, however often the stage is looked at. */
async function currentQuality({ site, head, rollout, signal }: Omit<Step, "listener">) {
  const { quality, to, from } = rollout;
  const interval = Math.max(milliseconds(rollout, rollout.plan.checkHours), LEAST_QUALITY_INTERVAL_MS);
  if (quality && Date.now() - Date.parse(quality.at) < interval) return quality;
  const [own, other] = await Promise.all(
    [to, from].map((color) => readQuality(site, { head, color }, signal).catch(() => undefined)),
  );
  signal.throwIfAborted();
  return { at: new Date().toISOString(), scores: { [to]: own?.figure, [from]: other?.figure } };
}

const LEAST_QUALITY_INTERVAL_MS = 5000;

function judgeStage({ rollout }: Step, figures: ByColor<Figures>): Verdict {
  const { plan, to, from } = rollout;
  const { gates, hours } = plan.stages[rollout.stage] ?? { gates: {}, hours: 0 };
  const elapsed = Date.now() - Date.parse(rollout.since);
  return judge({
    own: figures[to] ?? {},
    other: figures[from] ?? {},
    gates,
    limits: plan.rollback,
    timeIsUp: elapsed >= milliseconds(rollout, hours),
    patienceIsOver: elapsed >= plan.patienceSeconds * 1000,
    terms: plan,
  });
}

async function revert({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  listener.progress(`all traffic back to ${rollout.from}`);
  await site.router.move(head.generation, head.weights);
  await site.traffic.up({ refresh: true, signal, onEvent: listener.event });
  const next = { ...head, rollout: enter(rollout, { phase: "removing" }) };
  return { decision: { kind: "shifted", text: `all traffic to ${rollout.from}`, head: next } };
}

async function remove({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  const { to, reason = "" } = rollout;
  listener.progress(`ending ${to}`);
  await site.colors[to].destroy({ excludeProtected: true, signal, onEvent: listener.event });
  return { decision: removed(head, to, `${to} is ended: ${reason}`) };
}
