import path from "node:path";
import { loadPrompts } from "../release/checks/prompts.ts";
import type { Head } from "../release/contract/head.ts";
import { planOf } from "../release/contract/strategy.ts";
import { nameOf, requested } from "../release/decisions.ts";
import { historyOf, neededReleases } from "../release/history.ts";
import type { RunEnd } from "../release/run.ts";
import type { Site } from "../release/site.ts";
import { openSnapshot, pruneSnapshots } from "../release/snapshot.ts";
import { snapshotWorkingTree } from "../stacks/release.ts";
import type { ReleaseSettings } from "../stacks/release-settings.ts";
import { bringUp } from "./bring-up.ts";
import { UserError } from "./errors.ts";
import { interruptible } from "./interruption.ts";
import { environmentOption } from "./options.ts";
import { ENVIRONMENT, type LocalPlatform, type OpenPlatform, openPlatform, ROOT } from "./platform.ts";
import { inspectProcesses } from "./processes.ts";
import { conclude, follow, headline } from "./release-follow.ts";
import { withLoad } from "./release-load.ts";
import { RELEASE_OPTIONS, type ReleaseOptions, readReleaseOptions } from "./release-options.ts";
import { createView, type ReleaseView } from "./release-view.ts";
import { openSite } from "./site.ts";
import { exists, lockPlatform } from "./state-folder.ts";
import { tell } from "./tell.ts";

/** `npm run release -- local`: puts a release on the idle color and moves the traffic there, stage by stage. */
export async function release(args: string[]): Promise<void> {
  const values = environmentOption(args, RELEASE_OPTIONS);
  if (!exists()) throw new UserError("the platform was never started here.\nremedy: run `npm start` first.");
  const unlock = lockPlatform();
  const view = createView({ stream: process.stdout });
  const { signal, done } = interruptible((text) => view.note(text));
  try {
    const opened = await openPlatform();
    const options = readReleaseOptions(values, opened.rollout);
    await heal(opened.platform, signal);
    const site = await openSite(opened.platform);
    if (!(await begin(site, opened, options))) return;
    const end = await watch(site, opened, { options, signal, view });
    process.exitCode = await conclude(end);
    const needed = neededReleases(site.journal.entries(), opened.rollout.keepReleases);
    if (needed) pruneSnapshots(site.snapshots, needed);
  } finally {
    done();
    unlock();
  }
}

/** What serves must be whole before a release begins. What is whole is not touched, whatever the working tree says. */
async function heal(platform: LocalPlatform, signal: AbortSignal): Promise<void> {
  const processes = await inspectProcesses(platform);
  if (processes.length === 0) throw new UserError("the platform is stopped.\nremedy: run `npm start` first.");
  if (processes.some(({ healthy }) => !healthy)) await bringUp(platform, signal);
}

interface Wanted {
  id: string;
  label?: string | undefined;
}

/** Asks for a release, unless one is under way already. @returns false when there is nothing to do. */
async function begin(
  site: Site,
  { release: settings, rollout }: OpenPlatform,
  options: ReleaseOptions,
): Promise<boolean> {
  const latest = site.journal.latest();
  if (latest === undefined)
    throw new UserError("nothing was ever released here.\nremedy: run `npm start` first.");
  const { head, revision } = latest;
  if (head.rollout) {
    tell(`Going on with the release onto ${head.rollout.to}, which stands at "${head.rollout.phase}".`);
    const ignored = (["label", "strategy", "to", "again"] as const).filter(
      (name) => options[name] !== undefined,
    );
    if (ignored.length > 0) {
      tell(
        `It goes on as it was asked for: ${ignored.map((name) => `--${name}`).join(", ")} would be of the next.`,
      );
    }
    await tellOfEdits(head, settings);
    return true;
  }
  const wanted: Wanted =
    options.to === undefined ? await newRelease(settings) : keptRelease(site, options.to);
  const active = head.colors[head.active];
  if (active && active.release === wanted.id && !options.again) {
    tell(
      `Nothing to release: ${head.active} serves release ${nameOf(active)} already. \`--again\` releases it once more.`,
    );
    return false;
  }
  const label = options.label ?? wanted.label;
  const assignment = { release: wanted.id, ...(label === undefined ? {} : { label }) };
  site.journal.append(revision, requested(head, assignment, planOf(rollout, options.strategy)));
  return true;
}

/** What was edited since is of the next release: nobody should take this one for it. */
async function tellOfEdits({ rollout, colors }: Head, settings: ReleaseSettings): Promise<void> {
  const found = await newRelease(settings).catch(() => undefined);
  if (!rollout || !found || found.id === colors[rollout.to]?.release) return;
  tell(
    `The working tree holds release ${found.id} by now, which is not this one: run the command again afterwards.`,
  );
}

/** What the working tree holds, its prompts read first: a release whose prompts cannot be tested is none. */
async function newRelease(settings: ReleaseSettings): Promise<Wanted> {
  await loadPrompts(path.join(ROOT, "prompts")).catch((error: Error) => {
    throw new UserError(`${error.message}\nremedy: mend the files, then release again.`);
  });
  return snapshotWorkingTree(ENVIRONMENT, settings);
}

/** A release of this environment's past, by its id or its label. */
function keptRelease(site: Site, name: string): Wanted {
  const past = historyOf(site.journal.entries()).map(({ release: one }) => one);
  const found =
    past.findLast(({ release: id }) => id === name) ?? past.findLast(({ label }) => label === name);
  if (found === undefined) {
    throw new UserError(
      `no release is called "${name}".\nremedy: \`npm run releases -- ${ENVIRONMENT}\` lists them.`,
    );
  }
  return { id: openSnapshot(site.snapshots, found.release).id, label: found.label };
}

interface Watched {
  view: ReleaseView;
  options: ReleaseOptions;
  signal: AbortSignal;
}

/** Ticks, with a load where one is asked for, and shows what happens. */
async function watch(site: Site, opened: OpenPlatform, { options, signal, view }: Watched): Promise<RunEnd> {
  const head = site.journal.latest()?.head as Head;
  view.note(headline(site, head));
  try {
    return await withLoad({ site, platform: opened.platform, rate: options.rate, view }, () =>
      follow(site, view, { hold: options.hold, signal }),
    );
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new UserError(
      `interrupted: traffic stays as it is.\nremedy: \`npm run release -- ${ENVIRONMENT}\` goes on, ` +
        `\`npm run rollback -- ${ENVIRONMENT}\` takes the release back.`,
    );
  } finally {
    view.end();
  }
}
