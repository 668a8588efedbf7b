import type { Entry } from "./contract/files.ts";
import { COLORS, type Head, otherColor, type Rollout } from "./contract/head.ts";
import { broughtBack, removed, undoable } from "./decisions.ts";
import { type Decision, JournalConflict } from "./journal.ts";
import { PHASES } from "./phases.ts";
import { type Listener, type Outcome, Overtaken, type Site } from "./site.ts";

/** What one tick came to. */
export interface Tick extends Pick<Outcome, "judged"> {
  /** The decision that holds now. */
  entry: Entry;
  /** Whether anything was decided that was not before. */
  moved: boolean;
  /** Whether nothing is left to do, now or at a later time. */
  settled: boolean;
}

/**
 * Takes an environment's releases one idempotent step further: whoever runs it, however often, after whatever crash.
 */
export class Controller {
  readonly #site: Site;
  /** The last scores, where the hold that came with them was no news for the journal. */
  #unwritten: { revision: number; quality: Rollout["quality"] } | undefined;

  constructor(site: Site) {
    this.#site = site;
  }

  /** @throws JournalConflict when somebody else decided meanwhile: look again. */
  async tick(listener: Listener, signal: AbortSignal): Promise<Tick> {
    const { journal } = this.#site;
    const before = journal.latest();
    if (before === undefined)
      throw new Error("nothing was ever released here.\nremedy: run `npm start` first.");
    const outcome = await this.#next(this.#remembered(before), listener, signal);
    signal.throwIfAborted();
    const { decision, afterwards, judged } = outcome;
    const isNew = decision !== undefined && !isSame(decision, before);
    const entry = isNew ? journal.append(before.revision, decision) : before;
    this.#unwritten = { revision: entry.revision, quality: decision?.head.rollout?.quality };
    await afterwards?.();
    return {
      entry,
      moved: isNew && decision.kind !== "held",
      settled: entry.head.rollout === undefined,
      ...(judged === undefined ? {} : { judged }),
    };
  }

  /** The head with the scores that were taken since it was written. */
  #remembered({ head, revision }: Entry): Head {
    const quality = this.#unwritten?.revision === revision ? this.#unwritten.quality : undefined;
    return head.rollout && quality ? { ...head, rollout: { ...head.rollout, quality } } : head;
  }

  /** Learns what somebody else did to the traffic directly; a tick begins with it, too. */
  async reconcile(): Promise<void> {
    const { journal } = this.#site;
    const before = journal.latest();
    const decision = before && (await this.#foreign(before.head));
    if (before && decision) journal.append(before.revision, decision);
  }

  async #next(head: Head, listener: Listener, signal: AbortSignal): Promise<Outcome> {
    const foreign = await this.#foreign(head);
    if (foreign) return { decision: foreign };
    const { rollout } = head;
    if (rollout === undefined) return this.#cool(head, listener, signal);
    try {
      return await PHASES[rollout.phase]({ site: this.#site, head, rollout, listener, signal });
    } catch (error) {
      // The weights that lost are looked at again: the journal learns of what is in force.
      if (error instanceof Overtaken) throw new JournalConflict(0);
      throw error;
    }
  }

  /** What somebody else did to the traffic directly, such as a rollback that ended before it could write it down. */
  async #foreign(head: Head): Promise<Decision | undefined> {
    const { generation, weights } = await this.#site.router.read();
    const servesNothing = COLORS.every((color) => weights[color] === 0);
    if (generation < head.generation || servesNothing) return undefined;
    if (COLORS.every((color) => weights[color] === head.weights[color])) {
      if (generation === head.generation) return undefined;
      return {
        kind: "adopted",
        text: `the router counts on from ${generation}`,
        head: { ...head, generation },
      };
    }
    const rollout = undoable(head);
    const byHand = "the traffic was moved by hand, or by a rollback that was cut off";
    if (rollout && weights[rollout.from] === 100) return broughtBack(head, generation, byHand);
    // Weights that no decision explains are set right under a number that wins.
    const next = { ...head, generation: generation + 1 };
    await this.#site.router.move(next.generation, next.weights);
    return { kind: "adopted", text: "somebody moved the traffic: it is set as decided again", head: next };
  }

  /** Ends the color before the last release once its time is over, and what a crash left of one. */
  async #cool(head: Head, { progress, event }: Listener, signal: AbortSignal): Promise<Outcome> {
    const { warm } = head;
    const isWarm = warm !== undefined && Date.parse(warm.until) > Date.now();
    const idle = otherColor(head.active);
    if (isWarm || (head.colors[idle] !== undefined && warm === undefined)) return {};
    const afterwards = async () => {
      // A rollback that moved the weight a moment ago keeps the color: the next tick sees it.
      if ((await this.#site.router.read()).weights[idle] > 0) return;
      if (warm) progress(`ending ${idle}, which nobody needs any more`);
      await this.#site.colors[idle].destroy({ excludeProtected: true, signal, onEvent: event });
    };
    if (warm === undefined) return { afterwards };
    // Written first: from then on no rollback counts on the color.
    const decision = removed(head, idle, `${idle} is ended: the time for a rollback is over`);
    return { decision, afterwards };
  }
}

/** A hold for the same reasons is no new decision. */
function isSame(decision: Decision, before: Entry): boolean {
  return (
    decision.kind === "held" &&
    before.kind === "held" &&
    withoutFigures(decision.text) === withoutFigures(before.text)
  );
}

const withoutFigures = (text: string): string => text.replaceAll(/[\d.]+/g, "#");
