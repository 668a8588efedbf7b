import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, closeSync, constants, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { explain } from "./errors.ts";
import { identityOf, type ProcessRecord } from "./identity.ts";
import { type LogFile, openLog } from "./log-file.ts";
import { makePidFolder, type PidFile, writePidFile } from "./pid-file.ts";
import type { Ports } from "./placeholders.ts";

/**
 * The child waits for one line before it becomes the command, and ends when the pipe closes without one. So whoever
 * runs as the command has its pid file, at whatever instant the runner dies. What it writes is its user's alone.
 */
const WAIT_FOR_GO = 'umask 077; read -r go && exec "$@" </dev/null';

const INHERITED = ["PATH", "HOME", "TMPDIR", "LANG"];
const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";

/** A command as the process gets it, placeholders filled. */
export interface Launch {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly ports: Ports;
  readonly logFile: string;
  readonly pidFile: string;
}

export interface Launched extends PidFile {
  readonly log: LogFile;
  /** How it ended, once it has. */
  ending(): string | undefined;
  /** Settles when it ends. */
  readonly ended: Promise<void>;
}

/** What would keep the command from starting, found without starting it. */
export function assertStartable(launch: Launch): void {
  const { command, cwd, logFile, pidFile } = launch;
  if (cwd !== undefined && !isFolder(cwd))
    throw new Error(`cwd ${cwd} is no folder: make it or name another`);
  const executable = command[0] ?? "";
  const path = childEnvironment(launch).PATH ?? "";
  const candidates = executable.includes("/")
    ? [resolve(cwd, executable)]
    : path.split(delimiter).map((folder) => resolve(cwd, folder, executable));
  if (!candidates.some(isExecutable)) {
    const where = executable.includes("/") ? "is no executable file" : "is not found on its PATH";
    throw new Error(`command ${executable} ${where}: install it or give an absolute path`);
  }
  closeSync(openLog(logFile).fd);
  makePidFolder(pidFile);
}

/** Starts the command in a session of its own, with its pid file, and lets go of it: it outlives the runner. */
export async function launchProcess(launch: Launch): Promise<Launched> {
  const log = openLog(launch.logFile);
  let child: ChildProcess;
  try {
    child = spawn("/bin/sh", ["-c", WAIT_FOR_GO, "sh", ...launch.command], {
      cwd: launch.cwd,
      detached: true,
      env: childEnvironment(launch),
      stdio: ["pipe", log.fd, log.fd],
    });
    await once(child, "spawn");
  } catch (error) {
    throw explain(`cannot start ${launch.command[0]}`, error);
  } finally {
    closeSync(log.fd);
  }
  // The pipe breaks if the child is killed before it reads.
  child.stdin?.on("error", () => child.stdin?.destroy());
  try {
    const record = { ...recordOf(child), ports: launch.ports, startedAt: new Date().toISOString() };
    writePidFile(launch.pidFile, record);
    child.stdin?.end("go\n");
    child.unref();
    return { ...record, log, ...watch(child) };
  } catch (error) {
    child.stdin?.destroy();
    throw error;
  }
}

function recordOf({ pid }: ChildProcess): ProcessRecord {
  const identity = pid === undefined ? undefined : identityOf(pid);
  if (pid === undefined || identity === undefined) {
    throw new Error("the process was killed as it started: run again");
  }
  return { pid, identity };
}

function watch(child: ChildProcess): Pick<Launched, "ending" | "ended"> {
  const describe = (): string | undefined => {
    if (child.signalCode !== null) return `was ended by ${child.signalCode}`;
    return child.exitCode === null ? undefined : `exited with code ${child.exitCode}`;
  };
  const ended = describe() === undefined ? once(child, "exit").then(() => undefined) : Promise.resolve();
  return { ending: describe, ended };
}

// Nothing else of the operator's environment: it may hold cloud credentials.
function childEnvironment({ environment, ports }: Launch): Record<string, string> {
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const assigned = Object.entries(ports).map(([name, port]) => [name, String(port)] as const);
  return {
    PATH: DEFAULT_PATH,
    ...Object.fromEntries(inherited),
    ...environment,
    ...Object.fromEntries(assigned),
  };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
