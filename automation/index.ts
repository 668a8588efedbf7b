/** What every way of running a Pulumi program offers, whatever runs it underneath. */

/** One kind of change to one resource, in the names that Pulumi's own engine uses. */
export type Operation =
  | "create"
  | "create-replacement"
  | "delete"
  | "delete-replaced"
  | "discard"
  | "discard-replaced"
  | "import"
  | "import-replacement"
  | "read"
  | "read-replacement"
  | "refresh"
  | "remove-pending-replace"
  | "same"
  | "update";

export type RunEvent =
  | { kind: "step-started"; operation: Operation; urn: string; type: string; name: string }
  | {
      kind: "step-finished";
      operation: Operation;
      urn: string;
      type: string;
      name: string;
      milliseconds: number;
    }
  | { kind: "step-failed"; operation: Operation; urn: string; type: string; name: string; message: string }
  | { kind: "warning"; urn: string; message: string };

export interface StepSummary {
  operation: Operation;
  urn: string;
  type: string;
  name: string;
  /** Wall time of the step. */
  milliseconds: number;
}

/** An output of a stack. `secret` outputs carry their value in clear: whoever shows them must mask them. */
export interface StackOutput {
  value: unknown;
  secret: boolean;
  /** In a preview: the value is known only after the run, or a secret that the runner does not tell. Default: false. */
  unknown?: boolean;
}

/** One resource as the state has it. Secrets carry their value in clear, inside Pulumi's marker of secrets. */
export interface StackResource {
  urn: string;
  type: string;
  /** Missing for components. */
  id?: string | undefined;
  inputs?: Record<string, unknown> | undefined;
  outputs?: Record<string, unknown> | undefined;
  /** Default: false. */
  protect?: boolean | undefined;
}

export interface RunResult {
  /** All steps in the order in which they ended. */
  steps: StepSummary[];
  outputs: Record<string, StackOutput>;
}

export interface RunOptions {
  /** Called at each step's start and end. */
  onEvent?: (event: RunEvent) => void;
  /** Ends the run early: no new step starts, steps under way come to an end, the state is kept. */
  signal?: AbortSignal;
  /** Read what really exists before the program runs. Default: false. */
  refresh?: boolean;
}

export interface DestroyOptions extends Omit<RunOptions, "refresh"> {
  /** Leave protected resources, and what they stand on, in place. Default: false, which refuses to destroy. */
  excludeProtected?: boolean;
}

/** One stack of one project. Every method rejects with a `RunFailed` when the run could not end well. */
export interface Stack {
  readonly name: string;
  /** Computes what `up` would do; changes nothing. */
  preview(options?: RunOptions): Promise<RunResult>;
  up(options?: RunOptions): Promise<RunResult>;
  /** Brings the state in line with what really exists; changes no resource. */
  refresh(options?: RunOptions): Promise<RunResult>;
  destroy(options?: DestroyOptions): Promise<RunResult>;
  /** The outputs of the last run; undefined for a stack that was never brought up. */
  outputs(): Promise<Record<string, StackOutput> | undefined>;
  /** The resources of the last run, for the operator's own eyes; none for a stack that was never brought up. */
  resources(): Promise<readonly StackResource[]>;
}

/** A run that did not end well. What was done before is kept in the state, and the next run goes on from there. */
export class RunFailed extends Error {
  readonly stackName: string;
  readonly steps: StepSummary[];
  readonly problems: string[];

  constructor(stackName: string, problems: string[], steps: StepSummary[]) {
    super(`${stackName}: ${problems.join("\n")}`);
    this.name = "RunFailed";
    this.stackName = stackName;
    this.problems = problems;
    this.steps = steps;
  }
}
