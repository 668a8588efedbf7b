import * as pulumi from "@pulumi/pulumi";

export { portPlaceholder } from "./placeholders.ts";

export interface ProcessArgs {
  /** The executable, by absolute path or as found on the process's PATH, and its arguments. */
  command: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Environment variables; values may be secret. The process gets these, the ports, and PATH, HOME, TMPDIR and LANG
   * of whoever deploys, and nothing else. Default none.
   */
  environment?: pulumi.Input<Record<string, pulumi.Input<string>>>;
  /** Absolute path of the working directory. Default `/`. */
  cwd?: pulumi.Input<string>;
  /**
   * TCP ports by the environment variable that tells the process. 0 picks a free one on the loopback interface and
   * keeps it over restarts while it is free. `${NAME}` (see `portPlaceholder`) stands for the port in `command`, in
   * values of `environment` and in `healthUrl`. A fixed port in use is an error that names its holder. Default none.
   */
  ports?: pulumi.Input<Record<string, pulumi.Input<number>>>;
  /**
   * `http://host:port/path` (healthy when it answers 2xx), `tcp://host:port` (healthy when it accepts) or
   * `tcp://host:port?send=<bytes, percent-encoded>` (healthy when it answers to these bytes). Default: a process counts
   * as healthy while it lives.
   */
  healthUrl?: pulumi.Input<string>;
  /** Absolute path of the file that output and errors are appended to; its folders are made. */
  logFile: pulumi.Input<string>;
  /** Seconds from SIGTERM to SIGKILL, sent to the process's whole group. 0 to 3600, default 10. */
  drainSeconds?: pulumi.Input<number>;
  /** Seconds a start may take to become healthy. 0 to 3600, default 60. */
  startSeconds?: pulumi.Input<number>;
  /** Texts such as a digest of the source: a change restarts the process, which does not see them. Default none. */
  trigger?: pulumi.Input<Record<string, pulumi.Input<string>>>;
  /** Absolute path of the folder for the pid file, by which a process is found again after a crash. */
  pidDir: pulumi.Input<string>;
}

/**
 * A process on this machine that outlives the deployment. Any change restarts it in place, except of `drainSeconds`
 * and `startSeconds` (no restart) and `pidDir` (replacement); if the new one does not become healthy, the old one is
 * started again and the update fails.
 */
export class Process extends pulumi.CustomResource {
  declare readonly command: pulumi.Output<string[]>;
  declare readonly environment: pulumi.Output<Record<string, string>>;
  declare readonly cwd: pulumi.Output<string | undefined>;
  /** The ports as the process got them: numbers in place of 0. */
  declare readonly ports: pulumi.Output<Record<string, number>>;
  declare readonly healthUrl: pulumi.Output<string | undefined>;
  declare readonly logFile: pulumi.Output<string>;
  declare readonly drainSeconds: pulumi.Output<number>;
  declare readonly startSeconds: pulumi.Output<number>;
  declare readonly trigger: pulumi.Output<Record<string, string> | undefined>;
  declare readonly pidDir: pulumi.Output<string>;
  declare readonly pid: pulumi.Output<number>;
  /** Tells the process from a later one with the same pid. */
  declare readonly identity: pulumi.Output<string>;
  /** When it was started, as an ISO 8601 time. */
  declare readonly startedAt: pulumi.Output<string>;

  constructor(name: string, args: ProcessArgs, opts?: pulumi.CustomResourceOptions) {
    // A property is an output from the start only if it is named here.
    const optional = { environment: undefined, cwd: undefined, ports: undefined, healthUrl: undefined };
    const timed = { drainSeconds: undefined, startSeconds: undefined, trigger: undefined };
    const outputs = { pid: undefined, identity: undefined, startedAt: undefined };
    super("platform:process:Process", name, { ...optional, ...timed, ...args, ...outputs }, opts);
  }
}
