import { readFileSync } from "node:fs";
import { type FeatureFlag, MemoryStorage } from "@openfeature/flagd-core";
import { z } from "zod";
import type { ConfigProblem } from "../config-error.ts";
import { QUIET } from "./provider.ts";

const SCHEMA = "https://flagd.dev/schema/v0/flags.json";

const file = z.looseObject({ flags: z.record(z.string(), z.unknown()) });

/** What a file of flag definitions holds, as far as it can be used. */
export interface FlagDefinitions {
  /** The file's text; undefined where there is none that can be used. */
  readonly text: string | undefined;
  /** By key; undefined for a flag that cannot be used. */
  readonly flags: ReadonlyMap<string, FeatureFlag | undefined>;
  readonly problems: readonly ConfigProblem[];
}

/**
 * Reads flag definitions in flagd's format, with every problem at once.
 * @param path undefined for no flags
 * @param field what the problems name the file
 */
export function readFlagDefinitions(path: string | undefined, field: string): FlagDefinitions {
  if (path === undefined) return { text: undefined, flags: new Map(), problems: [] };
  const unusable = (problem: string, remedy: string) => {
    return { text: undefined, flags: new Map(), problems: [{ field, problem, remedy }] };
  };
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return unusable("cannot be read", "give the path of a file that the gateway may read");
  }
  const parsed = file.safeParse(parseJson(text));
  if (!parsed.success) return unusable("holds no flag definitions", 'give JSON of the form {"flags":{…}}');
  const flags = flagsOf(parsed.data);
  const problems = [...flags].filter(([, flag]) => !flag).map(([key]) => broken(`${field}.flags.${key}`));
  if (problems.length === 0 && !load(parsed.data)) problems.push(broken(field));
  return { text, flags, problems };
}

/** Why a model cannot be bound to this flag; undefined if it can. */
export function problemOfFlag(
  key: string,
  { text, flags, problems }: FlagDefinitions,
): Omit<ConfigProblem, "field"> | undefined {
  if (!flags.has(key)) {
    // Without a word about flags in a file that could not even be read.
    if (text === undefined && problems.length > 0) return undefined;
    return {
      problem: "names a flag that is not defined",
      remedy: "define it in the flags file, or remove it",
    };
  }
  const variants = [...(flags.get(key)?.variants.values() ?? [])];
  if (variants.every((value) => typeof value === "boolean")) return undefined;
  return { problem: "names a flag that is not boolean", remedy: "give the flag variants of true and false" };
}

function broken(field: string): ConfigProblem {
  return { field, problem: "does not follow flagd's format", remedy: `correct it by ${SCHEMA}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// One by one, since flagd's own check ends at the first flag that is wrong.
function flagsOf(definitions: z.infer<typeof file>): Map<string, FeatureFlag | undefined> {
  return new Map(
    Object.entries(definitions.flags).map(([key, flag]) => [
      key,
      load({ ...definitions, flags: { [key]: flag } })?.get(key),
    ]),
  );
}

function load(definitions: z.infer<typeof file>): ReadonlyMap<string, FeatureFlag> | undefined {
  const storage = new MemoryStorage(QUIET);
  try {
    storage.setConfigurations(JSON.stringify(definitions), true);
    return storage.getFlags();
  } catch {
    return undefined;
  }
}
