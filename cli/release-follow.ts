import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Head } from "../release/contract/head.ts";
import { nameOf } from "../release/decisions.ts";
import { changesOf, historyOf, reportOf } from "../release/history.ts";
import { writeReport } from "../release/report/index.ts";
import { type RunEnd, run } from "../release/run.ts";
import type { Site } from "../release/site.ts";
import { ENVIRONMENT, files } from "./platform.ts";
import type { ReleaseView } from "./release-view.ts";
import { openJournal } from "./site.ts";
import { tell } from "./tell.ts";

/** Exit status of a release that holds: it is neither done nor taken back. */
const HOLDING = 2;

/**
 * Ticks until the release has come to its end or holds, and shows what happens.
 * @param hold seconds to hold at most. Default: as its plan says.
 */
export function follow(
  site: Site,
  view: ReleaseView,
  { hold, signal }: { hold?: number | undefined; signal: AbortSignal },
): Promise<RunEnd> {
  return run({
    site,
    rollouts: files().rollouts,
    signal,
    holdMs: hold === undefined ? undefined : hold * 1000,
    progress: (text) => view.progress(text),
    event: (event) => {
      if (event.kind === "warning") view.note(`warning: ${event.message}`);
    },
    onEntry: (entry) => view.note(`${clock(entry.at)}  ${entry.kind.padEnd(11)} ${entry.text}`),
    onSample: (sample) => view.show(sample),
  });
}

const clock = (at: string): string => new Date(at).toTimeString().slice(0, 8);

/** What is released over what, and what that changes. */
export function headline(site: Site, { rollout, colors }: Head): string {
  if (rollout === undefined) return "";
  const [after, before] = [colors[rollout.to], colors[rollout.from]];
  const entry = historyOf(site.journal.entries()).at(-1);
  const changes = entry ? changesOf(entry, files().snapshots).join(", ") || "nothing" : "unknown";
  return [
    `Release ${after && nameOf(after)} onto ${rollout.to}, by ${rollout.plan.strategy}; `,
    `${rollout.from} serves ${before && nameOf(before)}. Changed: ${changes}.`,
  ].join("");
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
