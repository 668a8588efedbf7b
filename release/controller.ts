import type { Entry } from "./contract/files.ts";
import { COLORS, type Head } from "./contract/head.ts";
import { broughtBack, removed, undoable } from "./decisions.ts";
import { type Decision, JournalConflict } from "./journal.ts";
import { type Outcome, PHASES } from "./phases.ts";
import { type Listener, Overtaken, type Site } from "./site.ts";

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

  constructor(site: Site) {
    this.#site = site;
  }

  /** @throws JournalConflict when somebody else decided meanwhile: look again. */
  async tick(listener: Listener, signal: AbortSignal): Promise<Tick> {
    const { journal } = this.#site;
    const before = journal.latest();
    if (before === undefined)
      throw new Error("nothing was ever released here.\nremedy: run `npm start` first.");
    const outcome = await this.#next(before.head, listener, signal);
    signal.throwIfAborted();
    const { decision } = outcome;
    const isNew = decision !== undefined && !isSame(decision, before);
    const entry = isNew ? journal.append(before.revision, decision) : before;
    const moved = isNew && decision.kind !== "held";
    return { entry, moved, judged: outcome.judged, settled: isSettled(entry.head) };
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
    if (generation <= head.generation || servesNothing) return undefined;
    if (COLORS.every((color) => weights[color] === head.weights[color])) {
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

  /** Ends the color before the last release once its time is over. */
  async #cool(head: Head, { progress, event }: Listener, signal: AbortSignal): Promise<Outcome> {
    const { warm } = head;
    if (warm === undefined || Date.parse(warm.until) > Date.now()) return {};
    const color = warm.rollout.from;
    progress(`ending ${color}, which nobody needs any more`);
    await this.#site.colors[color].destroy({ excludeProtected: true, signal, onEvent: event });
    return { decision: removed(head, color, `${color} is ended: the time for a rollback is over`) };
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

const isSettled = ({ rollout }: Head): boolean => rollout === undefined;
