import { RunFailed } from "../automation/index.ts";
import { check } from "./check.ts";
import type { Phase } from "./contract/head.ts";
import { enter, removed, takenBack } from "./decisions.ts";
import { hasGone, readCounters } from "./look.ts";
import { observe } from "./observe.ts";
import { revive } from "./revive.ts";
import { addressOf, type Outcome, type Step } from "./site.ts";

/** Does the work of a phase, which may have been done before, and says what follows. */
export const PHASES: Record<Phase, (step: Step) => Promise<Outcome>> = {
  deploying: deploy,
  checking: check,
  shifting: shift,
  observing: observe,
  reverting: revert,
  removing: remove,
};

async function deploy({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  const { to } = rollout;
  listener.progress(`bringing up ${to}`);
  try {
    await site.colors[to].up({ refresh: true, signal, onEvent: listener.event });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof RunFailed)) throw error;
    const reason = `${to} could not be brought up: ${error.problems.join("; ")}`;
    return { decision: takenBack(head, rollout, reason) };
  }
  const next = { ...head, rollout: enter(rollout, { phase: "checking" as const }) };
  return { decision: { kind: "deployed", text: `${to} is up`, head: next } };
}

/** Sets a stage's weights: at the router, then in the traffic's stack. */
async function shift(step: Step): Promise<Outcome> {
  const { site, head, rollout, listener, signal } = step;
  const { to, from } = rollout;
  const weight = head.weights[to];
  listener.progress(`${weight} % to ${to}`);
  const baseline = await readCounters(site, head, { signal });
  if (!baseline[to] || !baseline[from]) {
    // Without it, what was counted before would be taken for this stage's.
    const { url } = await addressOf(site, to);
    if (await hasGone(url, signal)) return { decision: takenBack(head, rollout, `${to} does not answer`) };
    await revive(step, from);
    return {};
  }
  await site.router.move(head.generation, head.weights);
  await site.traffic.up({ refresh: true, signal, onEvent: listener.event });
  const next = {
    ...head,
    rollout: enter(rollout, { phase: "observing", baseline, failingSince: undefined }),
  };
  return { decision: { kind: "shifted", text: `${weight} % of the traffic to ${to}`, head: next } };
}

/** The color that gets all traffic must be able to take it, whatever became of it meanwhile. */
async function revert(step: Step): Promise<Outcome> {
  const { site, head, rollout, listener, signal } = step;
  const { from } = rollout;
  await revive(step, from);
  listener.progress(`all traffic back to ${from}`);
  await site.router.move(head.generation, head.weights);
  await site.traffic.up({ refresh: true, signal, onEvent: listener.event });
  const next = { ...head, rollout: enter(rollout, { phase: "removing" }) };
  return { decision: { kind: "shifted", text: `all traffic to ${from}`, head: next } };
}

async function remove({ site, head, rollout, listener, signal }: Step): Promise<Outcome> {
  const { to, reason = "" } = rollout;
  listener.progress(`ending ${to}`);
  await site.colors[to].destroy({ excludeProtected: true, signal, onEvent: listener.event });
  return { decision: removed(head, to, `${to} is ended: ${reason}`) };
}
