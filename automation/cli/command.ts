import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { PulumiCommand } from "@pulumi/pulumi/automation/index.js";

/** Before it, the CLI told of its progress through a file that is polled, and not by a stream. */
const OLDEST = "3.206.0";
const INSTALL = "remedy: install a current Pulumi CLI (https://www.pulumi.com/docs/install), and try again.";

/** A command of the CLI that did not end well, with all that it wrote. */
export class CommandFailed extends Error {
  readonly stderr: string;

  constructor(args: readonly string[], { stdout, stderr }: { stdout: string; stderr: string }) {
    super(`pulumi ${args[0]} failed: ${stderr.trim() || stdout.trim() || "it says nothing"}`);
    this.name = "CommandFailed";
    this.stderr = stderr;
  }
}

/** The part of the Automation API's command that its workspaces call; its typings leave `run` out. */
interface Runnable extends PulumiCommand {
  run(
    args: string[],
    folder: string,
    environment: Record<string, string>,
    onOutput?: (out: string) => void,
    onError?: (err: string) => void,
    signal?: AbortSignal,
  ): Promise<{ stdout: string; stderr: string; code: number }>;
}

/**
 * Finds the CLI on the PATH.
 * @throws where there is none, or one that is too old, with the remedy.
 */
export async function findCommand(): Promise<PulumiCommand> {
  const { command, version } = await PulumiCommand.get({ skipVersionCheck: true }).catch((error: Error) => {
    if (!error.message.includes("ENOENT")) throw error;
    throw new Error(`this needs the Pulumi CLI, and no program "pulumi" is on the PATH.\n${INSTALL}`);
  });
  if (version && version.compare(OLDEST) < 0) {
    throw new Error(`the Pulumi CLI on the PATH is ${version}; this needs ${OLDEST} or newer.\n${INSTALL}`);
  }
  const found: Runnable = {
    command,
    version,
    run: (args, folder, environment, _onOutput, _onError, signal) =>
      runInOwnGroup(command, [...args, "--non-interactive"], { folder, environment, signal }),
  };
  return found;
}

interface Surroundings {
  folder: string;
  environment: Record<string, string>;
  signal: AbortSignal | undefined;
}

/**
 * Runs the CLI in a process group of its own. A terminal sends its Ctrl-C to the whole group of the command that it
 * runs; together with the interrupt from `signal` that made two, and the second one ends the CLI in mid-step.
 */
async function runInOwnGroup(
  command: string,
  args: string[],
  { folder, environment, signal }: Surroundings,
): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...environment, PULUMI_AUTOMATION_API: "true" },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const interrupt = () => void child.kill("SIGINT");
  if (signal?.aborted) interrupt();
  signal?.addEventListener("abort", interrupt, { once: true });
  try {
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    if (code !== 0) throw new CommandFailed(args, { stdout, stderr });
    return { stdout, stderr, code };
  } finally {
    signal?.removeEventListener("abort", interrupt);
  }
}
