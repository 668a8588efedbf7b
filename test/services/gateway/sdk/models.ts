import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { RunningGateway } from "../../../../services/gateway/server.ts";
import { EMBEDDER, MODEL, startTestGateway } from "../support.ts";

const ROOT = new URL("../../../../", import.meta.url);
export const ENGINE_KEY = "engine-key";
// Slow enough that a client can leave in the middle of a stream.
const PACE = ["--sim-time-to-first-token-ms", "2", "--sim-time-per-output-token-ms", "2"];

/**
 * A gateway in front of two engines: one that chats, one that embeds. They are simulators of vLLM, or vLLM itself where
 * VLLM_URL and VLLM_EMBEDDINGS_URL say where it is (test/vllm).
 */
export interface Platform {
  readonly gateway: RunningGateway;
  readonly chatEngine: string;
  close(): Promise<void>;
}

export async function startPlatform(extra: Readonly<Record<string, string>> = {}): Promise<Platform> {
  const children: ChildProcess[] = [];
  const stop = () => Promise.all(children.map(kill));
  try {
    const { chatEngine, embedder } = givenEngines() ?? (await startSimulators(children));
    const models = [
      { name: MODEL, task: "chat", replicas: [{ url: chatEngine, apiKey: ENGINE_KEY }] },
      { name: EMBEDDER, task: "embeddings", replicas: [{ url: embedder, apiKey: ENGINE_KEY }] },
    ];
    const env = { GATEWAY_MODELS: JSON.stringify(models), ...extra };
    const gateway = await startTestGateway({ replicas: [], env });
    const close = async () => {
      await gateway.close();
      await stop();
    };
    return { gateway, chatEngine, close };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Engines {
  readonly chatEngine: string;
  readonly embedder: string;
}

function givenEngines(): Engines | undefined {
  const { VLLM_URL: chatEngine, VLLM_EMBEDDINGS_URL: embedder } = process.env;
  return chatEngine === undefined || embedder === undefined ? undefined : { chatEngine, embedder };
}

async function startSimulators(children: ChildProcess[]): Promise<Engines> {
  const tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"];
  const [chatEngine, embedder] = await Promise.all([
    startSimulator(["--served-model-name", MODEL, ...tools], children),
    startSimulator(["--served-model-name", EMBEDDER, "--runner", "pooling"], children),
  ]);
  return { chatEngine, embedder };
}

/** Requests that an engine is working on now, from its metrics. */
export async function running(engine: string): Promise<number> {
  const text = await (await fetch(`${engine}/metrics`)).text();
  return Number(/^vllm:num_requests_running\{.*\} (\S+)$/m.exec(text)?.[1]);
}

async function startSimulator(flags: string[], children: ChildProcess[]): Promise<string> {
  const program = "services/model-simulator/main.ts";
  const args = [program, "--port", "0", "--api-key", ENGINE_KEY, ...PACE, ...flags];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, url } = JSON.parse(line) as { event?: string; url?: string };
    if (event !== "listening" || url === undefined) continue;
    child.stdout.resume();
    return url;
  }
  throw new Error("the simulator ended before it listened");
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
