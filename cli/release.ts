import path from "node:path";
import { pathToFileURL } from "node:url";
import { loadPrompts } from "../release/checks/prompts.ts";
import type { Head } from "../release/contract/head.ts";
import { isStrategy, planOf } from "../release/contract/strategy.ts";
import { nameOf, requested } from "../release/decisions.ts";
import { changesOf, type HistoryEntry, historyOf, neededReleases, reportOf } from "../release/history.ts";
import { writeReport } from "../release/report/index.ts";
import { plainText } from "../release/report/text.ts";
import { type RunEnd, run } from "../release/run.ts";
import type { Site } from "../release/site.ts";
import { openSnapshot, pruneSnapshots } from "../release/snapshot.ts";
import { snapshotWorkingTree } from "../stacks/release.ts";
import type { ReleaseSettings } from "../stacks/release-settings.ts";
import { bringUp } from "./bring-up.ts";
import { UserError } from "./errors.ts";
import { interruptible } from "./interruption.ts";
import { environmentOption } from "./options.ts";
import { ENVIRONMENT, files, type LocalPlatform, type OpenPlatform, openPlatform, ROOT } from "./platform.ts";
import { inspectProcesses } from "./processes.ts";
import { withLoad } from "./release-load.ts";
import { createView, type ReleaseView } from "./release-view.ts";
import { openJournal, openSite } from "./site.ts";
import { exists, lockPlatform } from "./state-folder.ts";
import { tell } from "./tell.ts";

/** Exit status of a release that holds: it is neither done nor taken back. */
const HOLDING = 2;
const MAX_LABEL = 128;

const OPTIONS = {
  label: { type: "string" },
  strategy: { type: "string" },
  to: { type: "string" },
  again: { type: "boolean" },
  "with-load": { type: "boolean" },
  "no-load": { type: "boolean" },
  rate: { type: "string" },
  hold: { type: "string" },
} as const;

interface ReleaseOptions {
  label?: string | undefined;
  strategy?: string | undefined;
  /** A kept release, by its id or label, instead of the working tree. */
  to?: string | undefined;
  again?: boolean | undefined;
  /** Requests a second that the release brings along. */
  rate: number;
  /** Seconds to hold at most. */
  hold?: number | undefined;
}

/** `npm run release -- local`: puts a release on the idle color and moves the traffic there, stage by stage. */
export async function release(args: string[]): Promise<void> {
  const values = environmentOption(args, OPTIONS);
  if (!exists()) throw new UserError("the platform was never started here.\nremedy: run `npm start` first.");
  const unlock = lockPlatform();
  const view = createView({ stream: process.stdout });
  const { signal, done } = interruptible((text) => view.note(text));
  try {
    const opened = await openPlatform();
    const options = checkOptions(values, opened);
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

function checkOptions(
  values: ReturnType<typeof environmentOption<typeof OPTIONS>>,
  { rollout }: OpenPlatform,
): ReleaseOptions {
  const { label, strategy, to, again } = values;
  const problems: string[] = [];
  if (label !== undefined && (label === "" || label.length > MAX_LABEL || plainText(label) !== label)) {
    problems.push(
      `--label is empty, longer than ${MAX_LABEL} characters, or has control characters; give plain text`,
    );
  }
  if (strategy !== undefined && !isStrategy(strategy)) {
    problems.push('--strategy is unknown; use "blue-green" or "canary"');
  }
  const number = (name: "rate" | "hold", most: number): number | undefined => {
    const text = values[name];
    if (text === undefined) return undefined;
    if (/^\d+(\.\d+)?$/.test(text) && Number(text) <= most) return Number(text);
    problems.push(`--${name} is no number from 0 to ${most}; give one`);
    return undefined;
  };
  const rate = number("rate", 2000);
  const hold = number("hold", 1_000_000);
  if (values["with-load"] && values["no-load"])
    problems.push("--with-load and --no-load exclude each other; give one");
  if (problems.length > 0) throw new UserError(problems.join("\n"));
  const wanted = values["with-load"] ? rollout.loadPerSecond || DEFAULT_RATE : rollout.loadPerSecond;
  return { label, strategy, to, again, hold, rate: values["no-load"] ? 0 : (rate ?? wanted) };
}

/** Requests a second of `--with-load` where the settings ask for no load. */
const DEFAULT_RATE = 300;

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
  const strategy =
    options.strategy !== undefined && isStrategy(options.strategy) ? options.strategy : undefined;
  const label = options.label ?? wanted.label;
  const assignment = { release: wanted.id, ...(label === undefined ? {} : { label }) };
  site.journal.append(revision, requested(head, assignment, planOf(rollout, strategy)));
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
      follow(site, view, { options, signal }),
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

export function follow(
  site: Site,
  view: ReleaseView,
  { options, signal }: { options: Pick<ReleaseOptions, "hold">; signal: AbortSignal },
) {
  return run({
    site,
    rollouts: files().rollouts,
    signal,
    holdMs: options.hold === undefined ? undefined : options.hold * 1000,
    progress: (text) => view.progress(text),
    event: (event) => {
      if (event.kind === "warning") view.note(`warning: ${event.message}`);
    },
    onEntry: (entry) => view.note(`${clock(entry.at)}  ${entry.kind.padEnd(11)} ${entry.text}`),
    onSample: (sample) => view.show(sample),
  });
}

const clock = (at: string): string => new Date(at).toTimeString().slice(0, 8);

function headline(site: Site, { rollout, colors }: Head): string {
  if (rollout === undefined) return "";
  const [after, before] = [colors[rollout.to], colors[rollout.from]];
  const entry = historyOf(site.journal.entries()).at(-1);
  return [
    `Release ${after && nameOf(after)} onto ${rollout.to}, by ${rollout.plan.strategy}; `,
    `${rollout.from} serves ${before && nameOf(before)}. Changed: ${changed(entry)}.`,
  ].join("");
}

function changed(entry: HistoryEntry | undefined): string {
  return entry ? changesOf(entry, files().snapshots).join(", ") || "nothing" : "unknown";
}

/** Tells how it ended, and where the report is. @returns the exit status. */
export async function conclude(end: RunEnd): Promise<number> {
  const entry = historyOf(openJournal().entries()).at(-1);
  if (entry === undefined) return 0;
  const report = reportOf(entry, { environment: ENVIRONMENT, ...files() });
  const file = path.join(files().rollouts, String(entry.number), "report.html");
  await writeReport(file, report);
  const name = nameOf(entry.release);
  if (end === "holding") {
    tell(
      `\nRelease ${name} holds: ${entry.verdict}.\nIt goes on with \`npm run release -- ${ENVIRONMENT}\`.`,
    );
  } else if (report.outcome === "released") tell(`\nRelease ${name} is active on ${entry.to}.`);
  else tell(`\nRelease ${name} was taken back: ${entry.verdict}.`);
  tell(`Report: ${pathToFileURL(file).href}`);
  if (end === "holding") return HOLDING;
  return report.outcome === "released" ? 0 : 1;
}
