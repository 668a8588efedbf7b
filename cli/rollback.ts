import { setTimeout as sleep } from "node:timers/promises";
import { COLORS, type Head, type Rollout, weightsFor } from "../release/contract/head.ts";
import { broughtBack, isLeaving, nameOf, undoable } from "../release/decisions.ts";
import { JournalConflict } from "../release/journal.ts";
import { becomesReady } from "../release/look.ts";
import { addressOf, Overtaken, type Site } from "../release/site.ts";
import { UserError } from "./errors.ts";
import { interruptible } from "./interruption.ts";
import { environmentOption } from "./options.ts";
import { colorStack, ENVIRONMENT, openPlatform, openStates } from "./platform.ts";
import { conclude, follow } from "./release-follow.ts";
import { createView } from "./release-view.ts";
import { openJournal, openSite } from "./site.ts";
import { exists, lockPlatform } from "./state-folder.ts";
import { tell } from "./tell.ts";

const ATTEMPTS = 20;
const PROBE_PATIENCE_MS = 500;
const LOCK_INTERVAL_MS = 200;
/** A release that was pre-empted ends its step and draws back by itself in this time. */
const LOCK_PATIENCE_MS = 180_000;

/** `npm run rollback -- local`: all traffic to the color before, at once, whatever else is going on. */
export async function rollback(args: string[]): Promise<void> {
  const { reason = "asked for by hand" } = environmentOption(args, { reason: { type: "string" } });
  if (!exists()) throw new UserError("the platform was never started here.\nremedy: run `npm start` first.");
  const begin = performance.now();
  const platform = openStates();
  // Opening a state takes its time, on purpose: all that are needed are opened at once.
  const [site] = await Promise.all([
    openSite(platform),
    ...COLORS.map((color) => platform[colorStack(color)].outputs()),
  ]);
  const target = requireUndoable(site);
  if (!isLeaving(target)) {
    const isMoved = await moveBack(site, target, reason);
    const milliseconds = Math.round(performance.now() - begin);
    const serving = nameOfColor(openJournal().latest()?.head, target);
    tell(
      isMoved
        ? `All traffic is with ${target.from} again (${milliseconds} ms): ${serving}.`
        : `${target.from} does not answer: it is healed first, then it takes the traffic.`,
    );
  }
  await finish();
}

function nameOfColor(head: Head | undefined, { from }: Rollout): string {
  const assignment = head?.colors[from];
  return assignment ? `release ${nameOf(assignment)}` : "its release";
}

function requireUndoable({ journal }: Site): Rollout {
  const rollout = journal.latest() && undoable(journal.latest()?.head as Head);
  if (rollout) return rollout;
  throw new UserError(
    "there is no release to go back from: the color before it is gone.\n" +
      `remedy: \`npm run release -- ${ENVIRONMENT} --to <release>\` releases an earlier one; \`npm run releases -- ${ENVIRONMENT}\` lists them.`,
  );
}

/**
 * Weight first, under a number that beats every writer before; then the journal. A color that is dead is given nothing
 * yet: the decision is written, and whoever carries it out heals the color first.
 * @returns whether the weight has moved.
 */
async function moveBack(site: Site, rollout: Rollout, reason: string): Promise<boolean> {
  const isReady = await answers(site, rollout);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const generation = await nextGeneration(site);
      if (isReady) await site.router.move(generation, weightsFor(rollout.from));
      record(site, generation, reason);
      return isReady;
    } catch (error) {
      const isRace = error instanceof Overtaken || error instanceof JournalConflict;
      if (!isRace || attempt === ATTEMPTS) throw error;
    }
  }
}

/** A step that was decided and not yet carried out has the journal's number: it must lose, too. */
async function nextGeneration(site: Site): Promise<number> {
  const { generation } = await site.router.read();
  return Math.max(generation, site.journal.latest()?.head.generation ?? 0) + 1;
}

/** The weight has moved: whatever was decided meanwhile, the journal must tell so. */
function record(site: Site, generation: number, reason: string): void {
  const latest = site.journal.latest();
  const rollout = latest && undoable(latest.head);
  // Another rollback was here first.
  if (!latest || !rollout || isLeaving(rollout)) return;
  site.journal.append(latest.revision, broughtBack(latest.head, generation, reason));
}

/** Whether the color before can take the traffic; one that has some already gets the rest, too. */
async function answers(site: Site, { from }: Rollout): Promise<boolean> {
  if (site.journal.latest()?.head.weights[from] !== 0) return true;
  const { url } = await addressOf(site, from);
  return becomesReady(url, PROBE_PATIENCE_MS, new AbortController().signal);
}

/** Another command that was pre-empted ends what it does before it lets go of the platform. */
async function lockWithPatience(): Promise<() => void> {
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  for (;;) {
    try {
      return lockPlatform();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(LOCK_INTERVAL_MS);
    }
  }
}

/** Records the weights in the traffic's stack and ends the color that lost, unless the pre-empted command did. */
async function finish(): Promise<void> {
  const unlock = await lockWithPatience();
  const view = createView({ stream: process.stdout });
  const { signal, done } = interruptible((text) => view.note(text));
  try {
    const { platform } = await openPlatform();
    // What the pre-empted command has brought to its end needs nothing more.
    const end = await follow(await openSite(platform), view, { signal });
    view.end();
    await conclude(end);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new UserError(
      `interrupted: the traffic has moved, the rest is not done.\nremedy: \`npm run rollback -- ${ENVIRONMENT}\` goes on.`,
    );
  } finally {
    view.end();
    done();
    unlock();
  }
}
