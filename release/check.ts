import { RunFailed } from "../automation/index.ts";
import { smoke } from "./checks/smoke.ts";
import type { Gates, Plan, Stage } from "./contract/strategy.ts";
import { takenBack, toStage } from "./decisions.ts";
import { figuresBetween } from "./figures/figures.ts";
import { readCounters, readQuality, together } from "./look.ts";
import { revive } from "./revive.ts";
import { addressOf, type Outcome, type Step } from "./site.ts";
import { judge, reasonsOf, type Verdict } from "./verdict.ts";

/** Requests of the prompt tests that errors and response time rest on at least: there are few, and nobody waits. */
const LEAST_REQUESTS = 20;
const SHOWN_PROBLEMS = 3;

/** Tries the color on its own address, where no client is. */
export async function check(step: Step): Promise<Outcome> {
  const { site, head, rollout, listener, signal } = step;
  const { to } = rollout;
  const giveUp = (reason: string, numbers?: unknown) => ({
    decision: takenBack(head, rollout, reason, numbers),
  });
  listener.progress(`waiting until ${to} is ready`);
  const problem = await whyNotReady(step);
  if (problem !== undefined) return giveUp(`${to} did not become ready: ${problem}`);
  listener.progress(`smoke suite on ${to}`);
  const { url, models } = await addressOf(site, to);
  const failed = (await smoke({ url, key: site.key, models, signal })).filter(({ passed }) => !passed);
  if (failed.length === 0) return judgeIdle(step);
  const problems = failed.map(({ name, problem }) => `${name}: ${problem}`).join("; ");
  return giveUp(`smoke suite on ${to}: ${problems}`, failed);
}

/** Why the color is not ready. It was brought up before; after a crash of the machine it must be once more. */
async function whyNotReady(step: Step): Promise<string | undefined> {
  try {
    await revive(step, step.rollout.to);
    return undefined;
  } catch (error) {
    step.signal.throwIfAborted();
    return error instanceof RunFailed ? error.problems.join("; ") : "it does not answer in time";
  }
}

/** Errors, response time and quality of the prompt tests decide whether any client is sent there. */
async function judgeIdle(step: Step): Promise<Outcome> {
  const { head, rollout, listener } = step;
  const { to, from, plan } = rollout;
  listener.progress(`prompt tests on ${to}`);
  const { figures, problems, isBroken } = await lookAtIdle(step);
  // It would say so for ever: a release whose prompts cannot be used has no quality.
  if (isBroken)
    return { decision: takenBack(head, rollout, `prompt tests on ${to}: ${problems.join("; ")}`) };
  const verdict = judge({
    own: figures[to] ?? {},
    other: figures[from] ?? {},
    gates: idleGates(plan),
    limits: plan.rollback,
    timeIsUp: true,
    // Nobody is served here: what is proven not good enough needs no more time.
    patienceIsOver: true,
    terms: { ...plan, minimumRequests: Math.min(plan.minimumRequests, LEAST_REQUESTS) },
  });
  const judged = { verdict, figures, timeIsUp: true };
  if (verdict.decision === "roll back") {
    const reason = `prompt tests on ${to}: ${[...reasonsOf(verdict), ...problems.slice(0, SHOWN_PROBLEMS)].join("; ")}`;
    return { decision: takenBack(head, rollout, reason, judged), judged };
  }
  const own = figures[to]?.quality;
  const quality = { at: new Date().toISOString(), scores: { [to]: own, [from]: figures[from]?.quality } };
  const doubts = doubtsOnQuality(verdict, plan.stages[0]);
  if (doubts) {
    const held = { ...head, rollout: { ...rollout, quality } };
    const text = [doubts, ...problems.slice(0, SHOWN_PROBLEMS)].join("; ");
    return { decision: { kind: "held", text, numbers: judged, head: held }, judged };
  }
  const next = toStage(head, { ...rollout, quality }, 0);
  const text = `${to} passed the smoke suite; quality ${own?.score.toFixed(2) ?? "unknown"}`;
  return { decision: { kind: "checked", text, numbers: judged, head: next }, judged };
}

/** What the prompt tests showed, and how their own requests fared. */
async function lookAtIdle({ site, head, rollout, signal }: Step) {
  const { to, from, quality } = rollout;
  const counters = async () => (await readCounters(site, head, { signal, asker: "checks" }))[to];
  const before = await counters();
  const own = await readQuality(site, { head, color: to }, signal);
  const after = await counters();
  const other = await readQuality(site, { head, color: from }, signal);
  const figures = {
    [to]: { ...figuresBetween(before, after), quality: together(quality?.scores[to], own.figure) },
    [from]: { quality: together(quality?.scores[from], other.figure) },
  };
  return { figures, problems: own.problems, isBroken: own.isBroken === true };
}

/** The response time and the quality that any stage asks for; errors are judged by the limit alone, so few are asked. */
function idleGates({ stages }: Pick<Plan, "stages">): Gates {
  const asked = (name: "p95Seconds" | "quality") => stages.flatMap(({ gates }) => gates[name] ?? []);
  const [p95Seconds, quality] = [asked("p95Seconds"), asked("quality")];
  return {
    ...(p95Seconds.length > 0 ? { p95Seconds: Math.min(...p95Seconds) } : {}),
    ...(quality.length > 0 ? { quality: Math.max(...quality) } : {}),
  };
}

/** Why the first stage may not begin yet, where it asks for a quality that is not shown. */
function doubtsOnQuality({ findings }: Verdict, stage: Stage | undefined): string | undefined {
  const finding = findings.find(({ figure }) => figure === "quality");
  return stage?.gates.quality === undefined || finding?.state === "passed" ? undefined : finding?.text;
}
