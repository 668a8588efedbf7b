import {
  type Assignment,
  type Color,
  type Head,
  otherColor,
  type Rollout,
  weightsFor,
} from "./contract/head.ts";
import type { FrozenPlan } from "./contract/strategy.ts";
import { author, type Decision } from "./journal.ts";

/** What the journal may be told next: pure functions from how things stand to how they will. */

const instant = (): string => new Date().toISOString();

/** A phase begins. */
export function enter(rollout: Rollout, changes: Partial<Rollout>): Rollout {
  return { ...rollout, since: instant(), ...changes };
}

/** The first release of an environment, which needs no other color to come from. */
export function initial(release: Assignment): Decision {
  const head: Head = {
    colors: { blue: release },
    active: "blue",
    weights: weightsFor("blue"),
    generation: 1,
    number: 0,
  };
  return { kind: "initial", text: `blue serves release ${nameOf(release)}`, head };
}

/** A release is to go onto the color that does not serve. */
export function requested(head: Head, release: Assignment, plan: FrozenPlan): Decision {
  const { warm: _replaced, ...rest } = head;
  const from = head.active;
  const to = otherColor(from);
  const at = instant();
  const begin = { by: author(), startedAt: at, since: at, from, to, plan, stage: 0 };
  return {
    kind: "requested",
    text: `release ${nameOf(release)} onto ${to} by ${plan.strategy}`,
    head: {
      ...rest,
      number: head.number + 1,
      colors: { ...head.colors, [to]: release },
      rollout: { ...begin, phase: "deploying" },
    },
  };
}

/** The traffic is to be split as the stage says. */
export function toStage(head: Head, rollout: Rollout, stage: number): Head {
  const weight = rollout.plan.stages[stage]?.weight ?? 0;
  return {
    ...head,
    weights: weightsFor(rollout.from, weight),
    generation: head.generation + 1,
    rollout: enter(rollout, { phase: "shifting", stage, baseline: undefined }),
  };
}

/** The new release has all traffic and keeps it; the old color stays for a while. */
export function finished(head: Head, rollout: Rollout): Head {
  const { rollout: _done, ...rest } = head;
  const until = new Date(Date.now() + rollout.plan.warmSeconds * 1000);
  return { ...rest, active: rollout.to, warm: { rollout, until: until.toISOString() } };
}

/** The release is taken back: all traffic to the color before it, where any of it had left. */
export function takenBack(head: Head, rollout: Rollout, reason: string, numbers?: unknown): Decision {
  const hasMoved = head.weights[rollout.from] !== 100;
  const next: Head = hasMoved
    ? {
        ...head,
        weights: weightsFor(rollout.from),
        generation: head.generation + 1,
        rollout: enter(rollout, { phase: "reverting", reason }),
      }
    : { ...head, rollout: enter(rollout, { phase: "removing", reason }) };
  return { kind: "rolled-back", text: `back to ${rollout.from}: ${reason}`, numbers, head: next };
}

/** Which release a rollback undoes: one under way, or the last one while the color before it is warm. */
export function undoable({ rollout, warm }: Head): Rollout | undefined {
  return rollout ?? warm?.rollout;
}

/** Whether a release is being taken back already. */
export const isLeaving = ({ phase }: Rollout): boolean => phase === "reverting" || phase === "removing";

/** All traffic has gone back under `generation` already, weight first; the journal learns of it. */
export function broughtBack(head: Head, generation: number, reason: string): Decision {
  const { warm: _used, ...rest } = head;
  const rollout = undoable(head);
  if (rollout === undefined) throw new Error("there is no release to go back from");
  return {
    kind: "rolled-back",
    text: `back to ${rollout.from}: ${reason}`,
    head: {
      ...rest,
      active: rollout.from,
      weights: weightsFor(rollout.from),
      generation,
      rollout: enter(rollout, { phase: "reverting", reason }),
    },
  };
}

/** A color's stack is gone. */
export function removed(head: Head, color: Color, text: string): Decision {
  const { [color]: _gone, ...colors } = head.colors;
  const { rollout: _done, warm: _cold, ...rest } = head;
  return { kind: "removed", text, head: { ...rest, colors } };
}

export function nameOf({ release, label }: Assignment): string {
  return label ? `${release} (${label})` : release;
}
