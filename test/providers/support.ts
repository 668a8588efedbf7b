import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseState } from "../../providers/process/arguments.ts";
import { identityOf } from "../../providers/process/identity.ts";
import { portPlaceholder } from "../../providers/process/placeholders.ts";
import { PlatformProvider } from "../../providers/provider.ts";
import type { Properties } from "../../providers/wire.ts";

/** A server that answers its environment as JSON, 200 unless told otherwise, and ends on SIGTERM at once. */
const SERVER = `
  const http = require("node:http");
  http.createServer((request, response) => response.end(JSON.stringify(process.env)))
    .listen(Number(process.env.PORT), "127.0.0.1");
`;

/** A provider, a folder of its own, and the processes started in it, known by a marker among their arguments. */
export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), "provider-test-"));
  readonly marker = `marker-${randomUUID()}`;
  readonly provider = new PlatformProvider();
  readonly urn = urnOf("platform:process:Process", "web");
  readonly logFile = join(this.folder, "logs", "web.log");
  readonly pidDir = join(this.folder, "pids");

  /** Inputs of a process that runs this script; by default, a healthy web server. */
  inputs(changes: Properties = {}, script = SERVER): Properties {
    return {
      command: [process.execPath, "-e", script, this.marker],
      ports: { PORT: 0 },
      healthUrl: `http://127.0.0.1:${portPlaceholder("PORT")}/`,
      logFile: this.logFile,
      pidDir: this.pidDir,
      environment: {},
      drainSeconds: 5,
      startSeconds: 20,
      ...changes,
    };
  }

  async create(inputs: Properties = this.inputs(), urn = this.urn): Promise<Properties> {
    const { outs } = await this.provider.create(urn, inputs);
    return outs;
  }

  async isThere(outs: Properties): Promise<boolean> {
    return (await this.provider.read("id", this.urn, outs)).id === "id";
  }

  log(): string {
    return readFileSync(this.logFile, "utf8");
  }

  /** Waits until the process has written this to its log. */
  async logged(text: string): Promise<void> {
    await eventually(() => existsSync(this.logFile) && this.log().includes(text));
  }

  /** Ends a process with kill -9 and waits until it has let go of its ports. */
  async kill(outs: Properties): Promise<void> {
    process.kill(pidOf(outs), "SIGKILL");
    await eventually(() => identityOf(pidOf(outs)) === undefined);
  }

  /** Living processes of this bench; one that is ending has lost the arguments by which it is known. */
  pids(): number[] {
    const lines = execFileSync("ps", ["-eo", "pid=,args="], { encoding: "utf8" }).split("\n");
    const ours = lines.filter((line) => line.includes(this.marker)).map((line) => Number.parseInt(line, 10));
    return ours.filter((pid) => identityOf(pid) !== undefined);
  }

  close(): void {
    for (const pid of this.pids()) kill(pid, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function urnOf(type: string, name: string): string {
  return `urn:pulumi:local::llm-platform::components:local:Environment$${type}::${name}`;
}

export function pidOf(outs: Properties): number {
  return parseState(outs).pid;
}

export function portOf(outs: Properties, name = "PORT"): number {
  return parseState(outs).ports[name] ?? 0;
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}

/** The environment that the bench's server has. */
export async function environmentOf(outs: Properties): Promise<Record<string, string>> {
  const response = await fetch(`http://127.0.0.1:${portOf(outs)}/`);
  return Object.fromEntries(
    Object.entries(Object(await response.json())).map(([key, value]) => [key, String(value)]),
  );
}

/** Waits for something that must become true; the test's own time limit ends a wait in vain. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(5);
}

/** What an operation that must fail says. */
export async function failure(operation: Promise<unknown>): Promise<Error> {
  try {
    await operation;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("the operation was to fail and did not");
}
