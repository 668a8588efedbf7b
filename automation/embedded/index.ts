import path from "node:path";
import {
  type DestroyOptions,
  RunFailed,
  type RunOptions,
  type RunResult,
  type Stack,
  type StackOutput,
} from "../index.ts";
import { deleteAll, refuseProtected } from "./delete.ts";
import { Deployment } from "./deployment.ts";
import { lock } from "./lock.ts";
import { describeOutputs, outputsOf } from "./outputs.ts";
import { type Program, runProgram } from "./program.ts";
import { type Provider, ProviderTable } from "./providers.ts";
import { recover, refresh } from "./refresh.ts";
import { Run } from "./run.ts";
import { type ResourceState, StateFile } from "./state.ts";
import { messageOf } from "./values.ts";
import { dependsOn, WorkingSet } from "./working-set.ts";

export { readStackConfig } from "./config.ts";
export { lock } from "./lock.ts";
export type { Program } from "./program.ts";
export type { Provider } from "./providers.ts";

/** What Pulumi calls the organization of stacks that are kept in files. */
const ORGANIZATION = "organization";

export interface EmbeddedStackArgs {
  project: string;
  name: string;
  program: Program;
  /** Configuration by full key (`project:name`); objects and lists as JSON. Default: none. */
  config?: Record<string, string>;
  /** Keys of `config` whose values are secret. Default: none. */
  secretKeys?: string[];
  /** Providers by package name. A resource of any other package is refused. */
  providers: Record<string, Provider>;
  /** Folder of the state files, one per stack; made where it is missing. */
  stateFolder: string;
  /** Seals the secrets in the state; the Pulumi CLI opens them with the same one. */
  passphrase: string;
}

/**
 * A stack whose program runs in this process, without the Pulumi CLI, a network or credentials.
 * It does what the programs of this project need and refuses by name what it does not do.
 */
export class EmbeddedStack implements Stack {
  readonly name: string;
  readonly #args: EmbeddedStackArgs;

  constructor(args: EmbeddedStackArgs) {
    this.name = args.name;
    this.#args = args;
  }

  preview(options: RunOptions = {}): Promise<RunResult> {
    return this.#execute({ ...options, preview: true }, (run) => this.#update(run, options));
  }

  up(options: RunOptions = {}): Promise<RunResult> {
    return this.#execute({ ...options, preview: false }, (run) => this.#update(run, options));
  }

  refresh(options: RunOptions = {}): Promise<RunResult> {
    return this.#execute({ ...options, preview: false }, async (run) => {
      await recover(run);
      await refresh(run);
    });
  }

  destroy(options: DestroyOptions = {}): Promise<RunResult> {
    return this.#execute({ ...options, preview: false }, async (run) => {
      await recover(run);
      const { olds } = run.resources;
      if (!options.excludeProtected) refuseProtected(olds);
      const kept = withFoundations(
        olds.filter(({ protect }) => protect),
        olds,
      );
      await deleteAll(
        run,
        olds.filter((resource) => !kept.has(resource)),
      );
    });
  }

  async outputs(): Promise<Record<string, StackOutput> | undefined> {
    const outputs = outputsOf((await this.#open()).resources);
    return outputs && describeOutputs(outputs);
  }

  /** The resources in the state, with secrets in clear: for the operator's own eyes. */
  async resources(): Promise<readonly ResourceState[]> {
    return (await this.#open()).resources;
  }

  #open(stack = this.name): Promise<StateFile> {
    return StateFile.open(path.join(this.#args.stateFolder, `${stack}.json`), this.#args.passphrase);
  }

  async #update(run: Run, options: RunOptions): Promise<void> {
    const { project, program, config = {}, secretKeys = [] } = this.#args;
    await recover(run);
    if (options.refresh) await refresh(run);
    const about = { project, stack: this.name, organization: ORGANIZATION };
    const stackOutputs = async (stack: string) => outputsOf((await this.#open(stack)).resources);
    const deployment = new Deployment(run, { ...about, stackOutputs });
    await runProgram(program, deployment, { ...about, config, secretKeys });
    run.throwIfFailed();
    // What the program no longer registers goes last, when all that may have needed it has let go.
    refuseProtected(run.resources.olds);
    await deleteAll(run, run.resources.olds);
    deployment.settleOutputs();
  }

  async #execute(
    options: RunOptions & { preview: boolean },
    work: (run: Run) => Promise<void>,
  ): Promise<RunResult> {
    const { preview, onEvent, signal } = options;
    const unlock = preview
      ? () => {}
      : lock(path.join(this.#args.stateFolder, `${this.name}.lock`), `stack ${this.name}`);
    try {
      const resources = new WorkingSet(await this.#open(), preview);
      const providers = new ProviderTable(this.#args.providers);
      const run = new Run({ preview, providers, resources, onEvent, signal });
      try {
        await work(run);
      } catch (error) {
        if (!run.failed) run.fail(messageOf(error));
      }
      await run.settle();
      resources.close();
      if (run.failed) throw new RunFailed(this.name, run.problems, run.steps);
      return { steps: run.steps, outputs: describeOutputs(outputsOf(resources.all) ?? {}) };
    } finally {
      unlock();
    }
  }
}

/** The resources and all that they stand on: parents, providers and dependencies. */
function withFoundations(
  resources: readonly ResourceState[],
  among: readonly ResourceState[],
): Set<ResourceState> {
  const kept = new Set(resources);
  for (const resource of kept) {
    for (const other of among) if (dependsOn(resource, other)) kept.add(other);
  }
  return kept;
}
