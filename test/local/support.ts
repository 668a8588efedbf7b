import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { EmbeddedStack } from "../../automation/embedded/index.ts";

export const ROOT = path.resolve(import.meta.dirname, "../..");

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Status {
  gateway: string | null;
  active: string | null;
  weights: { blue: number; green: number };
  colors: Record<string, { url: string; release: string; label: string; healthy: boolean }>;
  services: { name: string; address: string; kind: string; healthy: boolean }[];
  stacks: { name: string; resources: number }[];
}

/** A local platform with a state folder of its own, driven by its real commands. */
export class TestPlatform {
  readonly state: string;
  readonly project: string;
  readonly #folder: string;

  /** @param project the checkout whose commands run. Default: this one. */
  constructor(project = ROOT) {
    this.project = project;
    this.#folder = mkdtempSync(path.join(tmpdir(), "platform-"));
    this.state = path.join(this.#folder, "state");
  }

  spawn(command: string, args: string[] = [], env: Record<string, string> = {}): ChildProcess {
    const bootstrap = path.join(this.project, "cli/bootstrap.cjs");
    return spawn(process.execPath, [bootstrap, "cli/main.ts", command, ...args], {
      cwd: this.project,
      env: { ...process.env, PLATFORM_STATE: this.state, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  run(command: string, args: string[] = [], env: Record<string, string> = {}): Promise<Outcome> {
    return outcomeOf(this.spawn(command, args, env));
  }

  start(...args: string[]): Promise<Outcome> {
    return this.run("start", args.length > 0 ? args : ["--port", "0"]);
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.run("status", ["--json"])).stdout);
  }

  async key(): Promise<string> {
    return (await this.run("key")).stdout.trim();
  }

  /** Process ids by the name of their log file: whatever of this platform runs, known to a state or not. */
  processes(): Map<string, number> {
    const logs = path.join(this.state, "logs");
    const found = new Map<string, number>();
    for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const output = readlinkSync(`/proc/${entry}/fd/1`);
        const state = readFileSync(`/proc/${entry}/stat`, "utf8").split(") ")[1]?.[0];
        if (output.startsWith(logs) && state !== "Z") found.set(path.basename(output, ".log"), Number(entry));
      } catch {
        // The process ended while it was looked at, or is another user's.
      }
    }
    return found;
  }

  kill(name: string): void {
    const pid = this.processes().get(name);
    if (pid === undefined) throw new Error(`${name} does not run`);
    process.kill(pid, "SIGKILL");
  }

  async close(): Promise<void> {
    await this.run("stop", ["--purge"]);
    for (const pid of this.processes().values()) process.kill(pid, "SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream]?.setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
    });
  }
  const [code, signal] = await once(child, "close");
  return { code, signal, ...output };
}

/** A copy of the project's files as they stand, with this checkout's packages: for tests that edit files. */
export function copyProject(): { folder: string; remove: () => void } {
  const parent = mkdtempSync(path.join(tmpdir(), "project-"));
  const folder = path.join(parent, "checkout");
  const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  for (const file of files
    .trim()
    .split("\n")
    .filter((name) => !name.startsWith("test/"))) {
    mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
    cpSync(path.join(ROOT, file), path.join(folder, file));
  }
  symlinkSync(path.join(ROOT, "node_modules"), path.join(folder, "node_modules"));
  return { folder, remove: () => rmSync(parent, { recursive: true, force: true }) };
}

export async function chat(base: string, key: string, extra: object = {}): Promise<Response> {
  const { data } = (await (
    await fetch(`${base}/v1/models`, { headers: { authorization: `Bearer ${key}` } })
  ).json()) as {
    data: { id: string }[];
  };
  return fetch(`${base}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: data[0]?.id, messages: [{ role: "user", content: "Hello!" }], ...extra }),
  });
}

/** The database's address with its password, as the operator may read it from the stack's sealed outputs. */
export async function databaseUrl({ state }: TestPlatform): Promise<string> {
  const stack = new EmbeddedStack({
    project: "llm-platform",
    name: "local",
    program: async () => undefined,
    providers: {},
    stateFolder: path.join(state, "stacks"),
    passphrase: readFileSync(path.join(state, "passphrase"), "utf8"),
  });
  return String((await stack.outputs())?.databaseUrl?.value);
}
