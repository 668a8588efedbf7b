import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const ROOT = new URL("../../", import.meta.url);

/** A service in a process of its own, started as the platform starts it. */
export interface ServiceProcess {
  readonly pid: number;
  /** Fields of its `ready` line. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Everything it has written so far. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with the exit code, null after a kill. */
  readonly exited: Promise<number | null>;
}

function spawnService(service: string, env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [`services/${service}/main.ts`], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "close").then(([code]) => code as number | null);
  return { child, exited };
}

export async function startService(service: string, env: NodeJS.ProcessEnv): Promise<ServiceProcess> {
  const { child, exited } = spawnService(service, env);
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  let output = "";
  child.stderr.on("data", (data: Buffer) => {
    output += data.toString();
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    output += `${line}\n`;
    const entry: Record<string, unknown> = JSON.parse(line);
    if (entry.msg === "ready") resolve(entry);
  });
  void exited.then((code) => reject(new Error(`exited with ${code}: ${output}`)));
  const ready = await promise;
  return {
    pid: child.pid ?? 0,
    ready,
    exited,
    output: () => output,
    kill: (signal) => void child.kill(signal),
  };
}

/** Runs a service that is expected to refuse its settings or its data; gives exit code and output. */
export async function runService(service: string, env: NodeJS.ProcessEnv) {
  const { child, exited } = spawnService(service, env);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data: Buffer) => {
      output += data.toString();
    });
  }
  const code = await exited;
  return { code, output };
}
