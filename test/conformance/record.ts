import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";
import pLimit from "p-limit";
import { findCommand } from "../../automation/cli/command.ts";
import { CliStack } from "../../automation/cli/index.ts";
import { CASES } from "./cases.ts";
import { type Observation, type Open, observeCase } from "./observe.ts";
import { FileWorld } from "./provider/world.ts";

const FIXTURES = path.resolve(import.meta.dirname, "../fixtures/conformance");
/** Cases at the same time: each takes a CLI, a program and a provider. */
const PARALLEL = 2;

export interface Recording {
  /** Of the CLI that was observed. */
  cli: string;
  case: string;
  stages: Observation[];
}

/** Runs whose events are kept as well, for the tests of their translation: a stage by its case. */
const KEPT_EVENTS: Readonly<Record<string, number>> = {
  "failure of a creation": 1,
  "refresh after drift": 1,
  "replace, deleting first": 2,
  secrets: 0,
};

const slug = (name: string): string => name.replaceAll(/\W+/g, "-");
const fileOf = (name: string): string => path.join(FIXTURES, `${slug(name)}.json`);
const eventsOf = (name: string): string => path.join(FIXTURES, "events", `${slug(name)}.json`);

export const readRecording = (name: string): Recording => JSON.parse(readFileSync(fileOf(name), "utf8"));
/** What the engine told of one run, without its debugging. */
export const readEvents = (name: string): EngineEvent[] => JSON.parse(readFileSync(eventsOf(name), "utf8"));

/** Runs a case with the CLI that is on the PATH. */
export async function observeCli(name: string): Promise<{ stages: Observation[]; events: EngineEvent[][] }> {
  const folder = mkdtempSync(path.join(tmpdir(), "conformance "));
  const world = path.join(folder, "world.json");
  const events: EngineEvent[][] = [];
  const open: Open = (args) => {
    const told: EngineEvent[] = [];
    events.push(told);
    return new CliStack({
      ...args,
      project: "conformance",
      projectFolder: import.meta.dirname,
      workFolder: path.join(folder, "pulumi"),
      passphrase: "correct horse",
      environment: { CONFORMANCE_WORLD: world },
      onEngineEvent: (event) => told.push(event),
    });
  };
  try {
    const seen = await observeCase(name, { open, world: new FileWorld(world) });
    // The engine's own sum, not one of what was understood of its events.
    const stages = seen.map((stage, index) => ({ ...stage, changeSummary: summaryOf(events[index] ?? []) }));
    return { stages: JSON.parse(JSON.stringify(stages)), events };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function summaryOf(events: readonly EngineEvent[]): Record<string, number> {
  const { resourceChanges = {} } = events.findLast(({ summaryEvent }) => summaryEvent)?.summaryEvent ?? {};
  return Object.fromEntries(Object.entries(resourceChanges).sort(([a], [b]) => a.localeCompare(b, "en")));
}

/** `node test/conformance/record.ts [case…]`: writes down what the CLI on the PATH does. */
async function record(names: string[]): Promise<void> {
  const limit = pLimit(PARALLEL);
  const { version } = await findCommand();
  mkdirSync(path.join(FIXTURES, "events"), { recursive: true });
  const one = async (name: string) => {
    const { stages, events } = await observeCli(name);
    write(fileOf(name), { cli: String(version), case: name, stages } satisfies Recording);
    const kept = KEPT_EVENTS[name];
    if (kept !== undefined) write(eventsOf(name), events[kept]?.filter(isTelling));
    console.log(`recorded ${name}`);
  };
  await Promise.all(names.map((name) => limit(one, name)));
  // The checks of the repository hold its JSON to one format.
  execFileSync(path.join(import.meta.dirname, "../../node_modules/.bin/biome"), [
    "format",
    "--write",
    FIXTURES,
  ]);
}

const isTelling = ({ diagnosticEvent }: EngineEvent): boolean =>
  (diagnosticEvent?.severity as string | undefined) !== "debug";

const write = (file: string, content: unknown): void =>
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);

if (import.meta.main) await record(process.argv.length > 2 ? process.argv.slice(2) : Object.keys(CASES));
