import { runtime } from "@pulumi/pulumi";
import { withLocalStorage } from "@pulumi/pulumi/runtime/state.js";
import type { Deployment } from "./deployment.ts";
import { createMonitor } from "./monitor.ts";
import type { Run } from "./run.ts";
import { messageOf } from "./values.ts";

declare module "@pulumi/pulumi/runtime/state.js" {
  /** Exported by the SDK without a type: gives the program its own copy of the SDK's global state. */
  export function withLocalStorage<T>(run: () => Promise<T>): Promise<T>;
}

/** The program of a stack: registers resources with the SDK and returns the stack's outputs. */
export type Program = () => Promise<Record<string, unknown> | undefined>;

export interface ProgramSettings {
  project: string;
  stack: string;
  organization: string;
  /** Configuration values by full key (`project:name`); objects and lists as JSON, as the CLI passes them. */
  config: Record<string, string>;
  /** Keys of `config` whose values are secret. */
  secretKeys: string[];
}

/** How long the SDK may still reject promises that a stopped program left behind. */
const LATE_REJECTIONS_MS = 1000;

/** The runs that answer for promises which nobody awaits: such a rejection would end this process. */
const answerable = new Set<Run>();

function onRejection(error: unknown): void {
  for (const run of answerable) {
    if (!run.failed) run.fail(messageOf(error));
  }
}

function answerFor(run: Run): void {
  if (answerable.size === 0) process.on("unhandledRejection", onRejection);
  answerable.add(run);
}

function release(run: Run): void {
  answerable.delete(run);
  if (answerable.size === 0) process.off("unhandledRejection", onRejection);
}

/** Runs a program in this process against a deployment. Ends when every registration is settled. */
export async function runProgram(
  program: Program,
  deployment: Deployment,
  settings: ProgramSettings,
): Promise<void> {
  const { run } = deployment;
  answerFor(run);
  try {
    await withLocalStorage(async () => {
      const { project, stack, organization } = settings;
      runtime.setMockOptions(createMonitor(deployment), project, stack, run.preview, organization);
      runtime.setAllConfig(settings.config, settings.secretKeys);
      // A registration that fails leaves outputs unsettled for ever: the run's failure must win.
      await Promise.race([runtime.runInPulumiStack(program).then(() => runtime.disconnect()), run.stopped]);
    });
    await new Promise((resolve) => setImmediate(resolve));
  } catch (error) {
    if (!run.failed) run.fail(messageOf(error));
  } finally {
    await run.settle();
    if (run.failed) setTimeout(() => release(run), LATE_REJECTIONS_MS).unref();
    else release(run);
  }
}
