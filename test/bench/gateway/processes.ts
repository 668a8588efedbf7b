import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

export const run = promisify(execFile);

const ROOT = new URL("../../..", import.meta.url);
const START_LIMIT_MS = 60_000;
const NANOSECONDS = 1e9;
// What Linux has shown since 2.6, whatever its kernel ticks with.
const TICKS_PER_SECOND = 100;

/** A program that is measured or that helps to measure. */
export interface Started {
  readonly port: number;
  readonly pid: number;
}

/** Everything that a benchmark started, to be ended together. */
export class Processes {
  readonly #children: ChildProcess[] = [];
  readonly #closers: (() => Promise<void>)[] = [];

  /** Starts one of our programs and waits for the line of JSON that names its port. */
  async node(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Started> {
    const child = this.#spawn(process.execPath, args, {
      cwd: ROOT,
      env: { PATH: process.env.PATH, NODE_ENV: "production", ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (!child.stdout) throw new Error("no standard output");
    for await (const line of createInterface({ input: child.stdout })) {
      const { port } = JSON.parse(line) as { port?: number };
      if (port === undefined) continue;
      // Its further log is read and thrown away, as a log collector would.
      child.stdout.resume();
      return { port, pid: child.pid ?? 0 };
    }
    throw new Error(`${args.at(-1)} ended before it listened`);
  }

  /** Starts a program that was told to listen on this port and waits until it answers there. */
  async program(command: readonly string[], port: number, options: SpawnOptions = {}): Promise<Started> {
    const [file = "", ...args] = command;
    const child = this.#spawn(file, args, { stdio: ["ignore", "ignore", "inherit"], ...options });
    await answers(port, child);
    return { port, pid: child.pid ?? 0 };
  }

  /** Has something closed with the processes. */
  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map(stop));
    for (const close of this.#closers.reverse()) await close();
  }

  #spawn(file: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const child = spawn(file, args, options);
    // Told by whoever waits for it to answer.
    child.on("error", () => undefined);
    this.#children.push(child);
    return child;
  }
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  const limit = Date.now() + START_LIMIT_MS;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
    if (response) return;
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`${child.spawnfile} ended`);
    if (Date.now() > limit) throw new Error(`nothing answers on port ${port}`);
    await wait(50);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

export async function onPath(command: string, flag: string): Promise<boolean> {
  return run(command, [flag]).then(
    () => true,
    // A program that runs and then fails is there: wrk -v exits with 1.
    (error: { code?: unknown }) => error.code !== "ENOENT",
  );
}

/** Seconds of CPU that the process's threads have used so far; undefined where the system does not tell. */
export function cpuSeconds(pid: number): number | undefined {
  try {
    return readNanoseconds(pid) / NANOSECONDS;
  } catch {
    return readTicks(pid);
  }
}

// To the nanosecond, where the kernel keeps it.
function readNanoseconds(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => {
    const [onCpu] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ");
    return sum + Number(onCpu);
  }, 0);
}

function readTicks(pid: number): number | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return undefined;
  }
}

/** @param stat a line of /proc/<pid>/stat, whose second field may hold spaces and parentheses */
export function parseStat(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
