import type { ResourceState } from "../../automation/embedded/state.ts";
import { dependsOn } from "../../automation/embedded/working-set.ts";
import {
  type RunEvent,
  RunFailed,
  type RunResult,
  type Stack,
  type StackResource,
} from "../../automation/index.ts";
import { integrityProblems } from "../automation/embedded/integrity.ts";
import { CASES, type Stage } from "./cases.ts";
import type { FileWorld } from "./provider/world.ts";
import { normalised } from "./state.ts";

/** What one run did, told the same way whatever ran it. */
export interface Observation {
  command: string;
  stack: string;
  /** The steps that ended well, by name. */
  operations: string[];
  /** The steps that failed, by name. */
  failed: string[];
  /** Which step began before which, where one resource needs the other or both are one. */
  order: string[];
  /** Resources by what happened to them, as the CLI sums a run up. */
  changeSummary: Record<string, number>;
  /** Why the run failed; empty where it ended well. */
  failure: string[];
  outputs: Record<string, unknown>;
  state: Record<string, unknown>[];
  world: Record<string, unknown>;
}

/** Opens a stack with its configuration, in the runner that is observed. */
export type Open = (args: { name: string; config: Record<string, string>; secretKeys: string[] }) => Stack;

const KINDS: Readonly<Record<string, RegExp>> = {
  "the inputs are refused": /must not be forbidden/,
  "the program throws": /no such model/,
  "the provider fails": /quota exceeded|still in use|not healthy/,
  "the resource is protected": /protect/,
  "the stack does not exist":
    /source.*(does not exist|unknown stack|no stack named)|(unknown stack|not found).*source/s,
};

/** Runs the stages of a case one after the other. */
export async function observeCase(
  name: string,
  { open, world }: { open: Open; world: FileWorld },
): Promise<Observation[]> {
  const observations: Observation[] = [];
  const states = new Map<string, readonly StackResource[]>();
  for (const [index, stage] of (CASES[name] ?? []).entries()) {
    const config = {
      "program:case": name,
      "program:stage": String(index),
      "program:password": "hunter2 is no password",
    };
    const stack = open({ name: stage.stack ?? "one", config, secretKeys: ["program:password"] });
    if (stage.before) world.change(stage.before);
    const observation = await observe(stack, stage, states.get(stack.name) ?? []);
    states.set(stack.name, observation.resources);
    observations.push({ ...observation.seen, world: world.content.things });
  }
  return observations;
}

async function observe(stack: Stack, stage: Stage, before: readonly StackResource[]) {
  const events: RunEvent[] = [];
  const result = await run(stack, stage, (event) => events.push(event)).catch((error: unknown) => {
    if (error instanceof RunFailed) return error;
    throw error;
  });
  const after = await stack.resources();
  const broken = integrityProblems(after as readonly ResourceState[]);
  if (broken.length > 0) throw new Error(`the state is none that the CLI accepts: ${broken.join("; ")}`);
  const failed = events.filter((event) => event.kind === "step-failed");
  const seen: Omit<Observation, "world"> = {
    command: stage.command,
    stack: stack.name,
    operations: result.steps.map(label).sort(),
    failed: failed.map(label).sort(),
    order: orderOf(events, [...before, ...after]),
    changeSummary: summaryOf(result.steps),
    failure: result instanceof RunFailed ? kindsOf(result.problems) : [],
    outputs: result instanceof RunFailed ? {} : result.outputs,
    state: normalised(after),
  };
  return { seen, resources: after };
}

function run(stack: Stack, { command }: Stage, onEvent: (event: RunEvent) => void): Promise<RunResult> {
  switch (command) {
    case "destroy":
      return stack.destroy({ onEvent });
    case "destroy --exclude-protected":
      return stack.destroy({ onEvent, excludeProtected: true });
    case "preview":
      return stack.preview({ onEvent });
    case "refresh":
      return stack.refresh({ onEvent });
    case "up":
      return stack.up({ onEvent });
    case "up --refresh":
      return stack.up({ onEvent, refresh: true });
  }
}

const label = ({ operation, name }: { operation: string; name: string }): string => `${operation} ${name}`;

const isRefresh = ({ operation }: { operation: string }): boolean => operation === "refresh";

/** The order of the rest is free: what is independent, or only looked at, runs at the same time. */
function orderOf(events: readonly RunEvent[], resources: readonly StackResource[]): string[] {
  const started = events.filter((event) => event.kind === "step-started");
  const states = resources as readonly ResourceState[];
  const statesOf = (urn: string) => states.filter((state) => state.urn === urn);
  const related = (a: string, b: string) =>
    a === b || statesOf(a).some((x) => statesOf(b).some((y) => dependsOn(x, y) || dependsOn(y, x)));
  const pairs = started.flatMap((first, index) =>
    started
      .slice(index + 1)
      .filter((second) => related(first.urn, second.urn) && !(isRefresh(first) && isRefresh(second)))
      .map((second) => `${label(first)} < ${label(second)}`),
  );
  return [...new Set(pairs)].sort();
}

/** Both halves of a replacement count as one; what is only looked at and the engine's own providers do not count. */
function summaryOf(steps: RunResult["steps"]): Record<string, number> {
  const counted = steps
    .filter(
      ({ operation, type }) =>
        !["delete-replaced", "read", "refresh"].includes(operation) && !type.startsWith("pulumi:providers:"),
    )
    .map(({ operation }) => (operation === "create-replacement" ? "replace" : operation));
  const groups = Map.groupBy(counted.sort(), (operation) => operation);
  return Object.fromEntries([...groups].map(([operation, list]) => [operation, list.length]));
}

function kindsOf(problems: readonly string[]): string[] {
  const text = problems.join("\n");
  const kinds = Object.keys(KINDS).filter((kind) => KINDS[kind]?.test(text));
  return kinds.length > 0 ? kinds : [`unknown: ${text}`];
}
