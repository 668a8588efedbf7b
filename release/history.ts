import path from "node:path";
import type { Entry } from "./contract/files.ts";
import { type Assignment, type Color, otherColor } from "./contract/head.ts";
import type { Manifest } from "./contract/snapshot.ts";
import { readSamples } from "./sampler.ts";
import type { ReleaseReport } from "./samples.ts";
import { changesBetween, openSnapshot } from "./snapshot.ts";

/** One release as the journal tells of it. */
export interface HistoryEntry {
  /** 0 is the first release of the environment. */
  number: number;
  release: Assignment;
  previous: Assignment | undefined;
  to: Color;
  by: string;
  at: string;
  strategy: string | undefined;
  outcome: ReleaseReport["outcome"];
  /** What it came to, in the words of the last decision that counts. */
  verdict: string;
  decisions: Entry[];
}

/** The releases of an environment, oldest first. */
export function historyOf(entries: Entry[]): HistoryEntry[] {
  const numbers = [...new Set(entries.map(({ head }) => head.number))];
  return numbers.flatMap((number) => {
    const decisions = entries.filter(({ head }) => head.number === number);
    const first = decisions[0];
    return first ? [describe(number, first, decisions)] : [];
  });
}

const TELLING: readonly Entry["kind"][] = ["initial", "finished", "rolled-back", "held"];

function describe(number: number, first: Entry, decisions: Entry[]): HistoryEntry {
  const { rollout, active, colors } = first.head;
  const to = rollout?.to ?? active;
  const last = decisions.findLast(({ kind }) => TELLING.includes(kind)) ?? first;
  return {
    number,
    release: colors[to] ?? { release: "unknown" },
    previous: rollout && colors[otherColor(to)],
    to,
    by: first.by,
    at: first.at,
    strategy: rollout?.plan.strategy,
    outcome: outcomeOf(decisions),
    verdict: last.text,
    decisions,
  };
}

function outcomeOf(decisions: Entry[]): HistoryEntry["outcome"] {
  if (decisions.some(({ kind }) => kind === "rolled-back")) return "rolled back";
  const isDone = decisions.some(({ kind }) => kind === "finished" || kind === "initial");
  return isDone ? "released" : "under way";
}

/** What a release changed against the one before; a snapshot that is gone says so. */
export function changesOf({ release, previous }: HistoryEntry, snapshots: string): string[] {
  const manifest = (id: string | undefined): Manifest | undefined => {
    if (id === undefined) return undefined;
    try {
      return openSnapshot(snapshots, id).manifest;
    } catch {
      return undefined;
    }
  };
  const after = manifest(release.release);
  return after ? changesBetween(manifest(previous?.release), after) : ["its snapshot is gone"];
}

/**
 * The releases whose snapshots are still needed: what the colors serve, and the last ones to go back to. Undefined where
 * the journal has a gap, and nobody can say.
 */
export function neededReleases(entries: Entry[], keep: number): Set<string> | undefined {
  if (entries.length !== entries.at(-1)?.revision) return undefined;
  const recent = historyOf(entries).slice(-keep);
  const serving = Object.values(entries.at(-1)?.head.colors ?? {});
  return new Set([...recent.map(({ release }) => release), ...serving].map(({ release }) => release));
}

/** All that a report shows of one release. */
export function reportOf(
  entry: HistoryEntry,
  { environment, snapshots, rollouts }: { environment: string; snapshots: string; rollouts: string },
): ReleaseReport {
  const { release, previous, decisions, number, to, outcome, by, at } = entry;
  const back = decisions.findLast(({ kind }) => kind === "rolled-back");
  return {
    environment,
    number,
    release: release.release,
    ...(release.label === undefined ? {} : { label: release.label }),
    previous: previous?.release ?? "none",
    strategy: entry.strategy ?? "none",
    by,
    startedAt: at,
    endedAt: decisions.at(-1)?.at ?? at,
    outcome,
    ...(back === undefined ? {} : { reason: back.text }),
    changes: changesOf(entry, snapshots),
    to,
    from: otherColor(to),
    samples: readSamples(path.join(rollouts, String(number))),
    decisions: decisions.map(({ at: when, kind, text }) => ({ at: when, kind, text })),
  };
}
