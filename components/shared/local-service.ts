import path from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import { Process, type ProcessArgs } from "../../providers/process/resource.ts";
import { NODE, ROOT, sourceDigest } from "./source.ts";

/** Where the processes of a local environment keep what outlives them. */
export interface LocalHost {
  /** Absolute path of the folder for data, logs and pid files; it is made where it is missing. */
  stateFolder: string;
}

export interface LocalProcessArgs extends Omit<ProcessArgs, "logFile" | "pidDir"> {
  host: LocalHost;
}

/** A process of a local environment, with its log file and its pid file where the environment keeps them. */
export function localProcess(
  name: string,
  { host, ...args }: LocalProcessArgs,
  opts: pulumi.CustomResourceOptions,
): Process {
  return new Process(
    name,
    {
      cwd: ROOT,
      ...args,
      logFile: path.join(host.stateFolder, "logs", `${name}.log`),
      pidDir: path.join(host.stateFolder, "pids"),
    },
    opts,
  );
}

export interface LocalServiceArgs extends Omit<LocalProcessArgs, "command" | "trigger"> {
  /** Folder of the service below `services/`. */
  service: string;
}

/** One of this project's own services, run from its source; a change of the source restarts it. */
export function localService(
  name: string,
  { service, ...args }: LocalServiceArgs,
  opts: pulumi.CustomResourceOptions,
): Process {
  const command = [NODE, path.join(ROOT, "services", service, "main.ts")];
  return localProcess(name, { ...args, command, trigger: { source: sourceDigest(service) } }, opts);
}
