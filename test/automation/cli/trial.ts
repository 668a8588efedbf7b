import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CliStack, type CliStackArgs } from "../../../automation/cli/index.ts";

/** The Pulumi CLI with its language host for Node.js: no package registry carries it, so it may be missing. */
export const HAS_CLI = ["pulumi", "pulumi-language-nodejs"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);

export const PROJECT = path.dirname(fileURLToPath(new URL("./project/program.ts", import.meta.url)));
export const PASSWORD = "open sesame, please";

/** A folder for one test: the CLI's files, and what the program of `project/` makes. */
export class Trial {
  readonly folder: string;
  readonly workFolder: string;

  /** @param folder of another process's trial. Default: a new one. */
  constructor(folder = mkdtempSync(path.join(tmpdir(), "cli stack "))) {
    this.folder = folder;
    this.workFolder = path.join(folder, "pulumi");
  }

  stack(overrides: Partial<CliStackArgs> = {}): CliStack {
    return new CliStack({
      project: "trial",
      name: "one",
      projectFolder: PROJECT,
      config: {
        "trial:folder": this.folder,
        "trial:password": PASSWORD,
        "trial:settings": JSON.stringify({ deep: [1, "two"] }),
      },
      secretKeys: ["trial:password"],
      workFolder: this.workFolder,
      passphrase: "correct horse",
      environment: { TRIAL_VARIABLE: "from outside" },
      ...overrides,
    });
  }

  /** Makes a file that the program or its process looks for. */
  set(name: "leak" | "open" | "warn"): void {
    writeFileSync(path.join(this.folder, name), "");
  }

  unset(name: "leak" | "open" | "warn"): void {
    rmSync(path.join(this.folder, name));
  }

  log(): string {
    const file = path.join(this.folder, "server.log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  /** The processes that the program has started and that live. */
  processes(): number[] {
    const folder = path.join(this.folder, "pids");
    if (!existsSync(folder)) return [];
    return filesOf(folder)
      .map((file) => JSON.parse(readFileSync(file, "utf8")).pid as number)
      .filter(isAlive);
  }

  /** The CLI that holds the stack's lock. */
  lockOwner(): number {
    const lock = filesOf(path.join(this.workFolder, "backend/.pulumi/locks")).find((file) =>
      file.endsWith(".json"),
    );
    if (!lock) throw new Error("nobody holds the stack's lock");
    return JSON.parse(readFileSync(lock, "utf8")).pid;
  }

  /** What the state says was begun and not ended. */
  pendingOperations(): unknown[] {
    const file = path.join(this.workFolder, "backend/.pulumi/stacks/trial/one.json");
    return JSON.parse(readFileSync(file, "utf8")).checkpoint.latest.pending_operations ?? [];
  }

  /** Every file that the CLI or we wrote, as one text. */
  written(): string {
    return filesOf(this.workFolder)
      .map((file) => readFileSync(file, "utf8"))
      .join("\n");
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

export async function eventually(condition: () => boolean, milliseconds = 60_000): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${milliseconds} ms: ${condition}`);
    await delay(50);
  }
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
