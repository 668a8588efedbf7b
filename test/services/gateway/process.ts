import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { environment, type TestGatewayOptions } from "./support.ts";

const SOURCE = ["services/gateway/main.ts"];
const ROOT = new URL("../../../", import.meta.url);

/** A gateway in a process of its own. */
export interface GatewayProcess {
  readonly url: string;
  /** The lines of its log so far. */
  readonly log: Record<string, unknown>[];
  /** Everything it wrote to its outputs so far. */
  readonly output: { text: string };
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, null after a kill. */
  readonly exited: Promise<number | null>;
}

export interface ProcessOptions extends TestGatewayOptions {
  /** What Node.js runs. @default the gateway's source */
  readonly program?: readonly string[];
  /** The folder that it runs in. @default the repository's root */
  readonly cwd?: string | URL;
}

type Program = Pick<ProcessOptions, "program" | "cwd">;

export function spawnGateway(env: Record<string, string>, { program = SOURCE, cwd = ROOT }: Program = {}) {
  const child = spawn(process.execPath, [...program], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const output = { text: "" };
  child.stderr.on("data", (data: Buffer) => {
    output.text += data.toString();
  });
  const exited = once(child, "close").then(([code]) => code as number | null);
  return { child, output, exited };
}

export async function startGatewayProcess(options: ProcessOptions): Promise<GatewayProcess> {
  const env = { ...environment(options), GATEWAY_LOG_LEVEL: "info", ...options.env };
  const { child, output, exited } = spawnGateway(env, options);
  const log: Record<string, unknown>[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    output.text += `${line}\n`;
    const entry = JSON.parse(line) as Record<string, unknown>;
    log.push(entry);
    if (entry.event === "listening") resolve(`http://${entry.host}:${entry.port}`);
  });
  void exited.then((code) => reject(new Error(`exited with ${code}: ${output.text}`)));
  const url = await promise;
  return { url, log, output, exited, signal: (name) => void child.kill(name) };
}
