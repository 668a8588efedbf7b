import { rmSync } from "node:fs";
import path from "node:path";
import type {
  Stack as AutomationStack,
  EngineEvent,
  RefreshOptions,
} from "@pulumi/pulumi/automation/index.js";
import { lock } from "../embedded/lock.ts";
import { describeOutputs, outputsOf } from "../embedded/outputs.ts";
import type { ResourceState } from "../embedded/state.ts";
import {
  type DestroyOptions,
  RunFailed,
  type RunOptions,
  type RunResult,
  type Stack,
  type StackOutput,
} from "../index.ts";
import { RunRecorder } from "./events.ts";
import { maskOf, problemOf } from "./failure.ts";
import { removeDeadLocks } from "./locks.ts";
import { readResources } from "./state.ts";
import { type StackConfig, WorkFolder } from "./work-folder.ts";
import { createStack, selectStack, type WorkspaceSettings } from "./workspace.ts";

/** What Pulumi calls the organization of stacks that are kept in files. */
const ORGANIZATION = "organization";
const INTERRUPTED = "interrupted: what was done is kept, run the command again to go on";

export interface CliStackArgs {
  project: string;
  name: string;
  /** Folder with the project's Pulumi.yaml, which is read and never written. */
  projectFolder: string;
  /** Configuration by full key (`project:name`); objects and lists as JSON. Default: none. */
  config?: Record<string, string>;
  /** Keys of `config` whose values are secret. Default: none. */
  secretKeys?: string[];
  /** Folder of what the CLI reads and writes, shared by the project's stacks; made where it is missing. */
  workFolder: string;
  /** Where the states are, as `pulumi login` takes it. Default: the folder `backend` in the work folder. */
  backendUrl?: string;
  /** Seals the secrets in the configuration and in the state. */
  passphrase: string;
  /** Environment variables for the program and its providers, beside those of this process. Default: none. */
  environment?: Record<string, string>;
  /** Called with all that the engine tells of a run, as it tells it. Default: nothing. */
  onEngineEvent?: (event: EngineEvent) => void;
}

/** How one kind of run is started; what is common to all of them is already in the options. */
type Start = (stack: AutomationStack, options: Common) => Promise<unknown>;
type Common = Required<Pick<RefreshOptions, "color" | "onEvent">> &
  Pick<RefreshOptions, "configFile" | "signal">;

/** A stack whose program the Pulumi CLI runs. Nothing in the project's own folder is written. */
export class CliStack implements Stack {
  readonly name: string;
  readonly #args: CliStackArgs;
  readonly #work: WorkFolder;
  #known: AutomationStack | undefined;

  constructor(args: CliStackArgs) {
    this.name = args.name;
    this.#args = args;
    this.#work = new WorkFolder(args.workFolder, args.projectFolder);
  }

  /** The CLI masks secrets in a preview: an output with one is told as unknown. */
  preview(options: RunOptions = {}): Promise<RunResult> {
    return this.#execute({ ...options, preview: true }, (stack, common) =>
      stack.preview({ ...common, refresh: options.refresh }),
    );
  }

  up(options: RunOptions = {}): Promise<RunResult> {
    return this.#execute(options, (stack, common) => stack.up({ ...common, refresh: options.refresh }));
  }

  refresh(options: RunOptions = {}): Promise<RunResult> {
    return this.#execute(options, (stack, common) => stack.refresh(common));
  }

  destroy(options: DestroyOptions = {}): Promise<RunResult> {
    const { excludeProtected } = options;
    return this.#execute(options, (stack, common) => stack.destroy({ ...common, excludeProtected }));
  }

  async outputs(): Promise<Record<string, StackOutput> | undefined> {
    const outputs = outputsOf(await this.resources());
    return outputs && describeOutputs(outputs);
  }

  async resources(): Promise<readonly ResourceState[]> {
    const stack = await this.#select();
    return stack ? readResources(stack) : [];
  }

  get #config(): StackConfig {
    const { name, config = {}, secretKeys = [], passphrase } = this.#args;
    return { stack: name, config, secretKeys, passphrase };
  }

  get #settings(): WorkspaceSettings {
    const { project, projectFolder, backendUrl, passphrase, environment = {} } = this.#args;
    return {
      stack: `${ORGANIZATION}/${project}/${this.name}`,
      folder: this.#work.folder,
      projectFolder: path.resolve(projectFolder),
      backend: backendUrl ?? this.#work.backend,
      passphrase,
      environment,
    };
  }

  async #select(): Promise<AutomationStack | undefined> {
    this.#work.writeProject(this.#args.project);
    this.#known ??= await selectStack(this.#settings);
    return this.#known;
  }

  async #execute(options: RunOptions & { preview?: boolean }, start: Start): Promise<RunResult> {
    const unlock = options.preview
      ? () => {}
      : lock(path.join(this.#work.folder, `${this.name}.lock`), `stack ${this.name}`);
    try {
      if (!options.preview) removeDeadLocks(this.#settings.backend, this.#settings.stack);
      return await this.#run(options, start);
    } finally {
      unlock();
    }
  }

  async #run(options: RunOptions & { preview?: boolean }, start: Start): Promise<RunResult> {
    const { preview = false, onEvent, signal } = options;
    const recorder = new RunRecorder({ onEvent, mask: (text) => mask(text) });
    let mask = this.#maskOf([]);
    let configFile: string | undefined;
    try {
      signal?.throwIfAborted();
      configFile = await this.#work.writeConfig(this.#config, preview);
      const stack = (await this.#select()) ?? (await createStack(this.#settings));
      mask = this.#maskOf(await readResources(stack));
      const receive = (event: EngineEvent) => {
        this.#args.onEngineEvent?.(event);
        recorder.receive(event);
      };
      await start(stack, { color: "never", configFile, onEvent: receive, ...(signal && { signal }) });
      const outputs = preview ? recorder.outputs : (outputsOf(await readResources(stack)) ?? {});
      return { steps: recorder.steps, outputs: describeOutputs(outputs) };
    } catch (error) {
      throw await this.#failure(error, recorder, signal);
    } finally {
      if (preview && configFile) rmSync(configFile, { force: true });
    }
  }

  async #failure(error: unknown, recorder: RunRecorder, signal: AbortSignal | undefined): Promise<RunFailed> {
    const { stack, backend } = this.#settings;
    const told = recorder.problems.length > 0 ? recorder.problems : [problemOf(error, { stack, backend })];
    const problems = signal?.aborted ? [INTERRUPTED, ...recorder.problems] : told;
    // By then the state knows the secrets that this run has made. One that cannot be read has told none.
    const mask = this.#maskOf(await this.resources().catch(() => []));
    return new RunFailed(this.name, problems.map(mask), recorder.steps);
  }

  #maskOf(resources: readonly ResourceState[]): (text: string) => string {
    const { config, secretKeys } = this.#config;
    return maskOf(
      resources,
      secretKeys.flatMap((key) => config[key] ?? []),
    );
  }
}
