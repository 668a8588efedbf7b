import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { head } from "./head.ts";

/** One decision about an environment's releases, with the numbers that it rests on. */
export const entry = z.strictObject({
  /** Counts up by one: two writers cannot both write the next. */
  revision: z.int().min(1),
  at: z.string(),
  /** User and machine. */
  by: z.string(),
  kind: z.enum([
    "initial",
    "requested",
    "deployed",
    "checked",
    "shifted",
    "held",
    "promoted",
    "finished",
    "rolled-back",
    "removed",
    "adopted",
  ]),
  /** For people. */
  text: z.string(),
  /** What the decision rests on. */
  numbers: z.unknown().optional(),
  /** How things stand from then on. */
  head,
});
export type Entry = z.infer<typeof entry>;

/** Where an environment keeps its releases, below the folder that outlives commands. */
export function releaseFiles(stateFolder: string, environment: string) {
  const root = path.join(stateFolder, "releases", environment);
  return {
    /** One file per decision. */
    journal: path.join(root, "journal"),
    /** Snapshots by id. */
    snapshots: path.join(root, "snapshots"),
    /** Figures and reports by number of the rollout. */
    rollouts: path.join(root, "rollouts"),
  };
}

const FILE = /^(\d{8})\.json$/;

export const entryFile = (revision: number): string => `${String(revision).padStart(8, "0")}.json`;

/** The revisions that a journal holds, oldest first. */
export function revisions(folder: string): number[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names
    .flatMap((name) => FILE.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** @throws when the file is not an entry of a journal. */
export function readEntry(folder: string, revision: number): Entry {
  const file = path.join(folder, entryFile(revision));
  try {
    return entry.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(
      `${file} is no entry of a release journal: ${reason}\nremedy: restore the file; without it nobody knows what serves.`,
    );
  }
}

/** The latest decision; undefined where no release was ever made. */
export function latestEntry(folder: string): Entry | undefined {
  const revision = revisions(folder).at(-1);
  return revision === undefined ? undefined : readEntry(folder, revision);
}
