import { setTimeout as sleep } from "node:timers/promises";
import { COLORS, type Head, type Rollout, weightsFor } from "../release/contract/head.ts";
import { broughtBack, isLeaving, nameOf, undoable } from "../release/decisions.ts";
import { JournalConflict } from "../release/journal.ts";
import { addressOf, Overtaken, type Site } from "../release/site.ts";
import { UserError } from "./errors.ts";
import { interruptible } from "./interruption.ts";
import { environmentOption } from "./options.ts";
import { colorStack, ENVIRONMENT, openPlatform, openStates } from "./platform.ts";
import { conclude, follow } from "./release.ts";
import { createView } from "./release-view.ts";
import { openJournal, openSite } from "./site.ts";
import { exists, lockPlatform } from "./state-folder.ts";

const ATTEMPTS = 20;
const PROBE_TIMEOUT_MS = 1000;
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
    const back = await moveBack(site, reason);
    const milliseconds = Math.round(performance.now() - begin);
    console.log(
      `All traffic is with ${back.from} again (${milliseconds} ms): ${nameOfColor(openJournal().latest()?.head, back)}.`,
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

/** Weight first, under a number that beats every writer before; then the journal. */
async function moveBack(site: Site, reason: string): Promise<Rollout> {
  for (let attempt = 1; ; attempt += 1) {
    const rollout = requireUndoable(site);
    try {
      await requireReady(site, rollout);
      const generation = await setWeights(site, rollout);
      record(site, generation, reason);
      return rollout;
    } catch (error) {
      const isRace = error instanceof Overtaken || error instanceof JournalConflict;
      if (!isRace || attempt === ATTEMPTS) throw error;
    }
  }
}

async function setWeights(site: Site, { from }: Rollout): Promise<number> {
  const head = site.journal.latest()?.head;
  const inForce = await site.router.read();
  // A step that was decided and not yet carried out has the journal's number: it must lose, too.
  const generation = Math.max(inForce.generation, head?.generation ?? 0) + 1;
  await site.router.move(generation, weightsFor(from));
  return generation;
}

/** The weight has moved: whatever was decided meanwhile, the journal must tell so. */
function record(site: Site, generation: number, reason: string): void {
  const latest = site.journal.latest();
  if (!latest || (latest.head.rollout && isLeaving(latest.head.rollout))) return;
  site.journal.append(latest.revision, broughtBack(latest.head, generation, reason));
}

/** Nobody is sent to a color that is dead: one that only waited for a rollback is healed first. */
async function requireReady(site: Site, { from }: Rollout): Promise<void> {
  const { url } = await addressOf(site, from);
  const response = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).catch(
    () => undefined,
  );
  await response?.body?.cancel();
  const isServing = site.journal.latest()?.head.weights[from] !== 0;
  if (response?.ok || isServing) return;
  console.log(`${from} does not answer: it is healed first.`);
  const unlock = await lockWithPatience();
  try {
    const { platform } = await openPlatform();
    await platform[colorStack(from)].up({ refresh: true });
  } finally {
    unlock();
  }
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
  const { signal, done } = interruptible();
  const view = createView({ stream: process.stdout });
  try {
    const { platform } = await openPlatform();
    const end = await follow(await openSite(platform), view, { options: {}, signal });
    view.end();
    await conclude(end);
  } finally {
    view.end();
    done();
    unlock();
  }
}
