import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MODEL } from "./answer.ts";
import { cached } from "./cache.ts";
import type { Ground } from "./gateways.ts";
import { freePort, run, type Started } from "./processes.ts";
import { KEY, type Models, urlOf } from "./settings.ts";
import { NAMES, type Target, type TargetName } from "./targets.ts";

const PORTKEY = "1.15.2";
const LITELLM = "1.100.5";
const INSTALL_LIMIT_MS = 600_000;
// Newest first: what LiteLLM runs on.
const PYTHONS = ["python3.13", "python3.12", "python3.11", "python3.10", "python3"];
const QUIET = { stdio: "ignore" } as const;

export interface Missing {
  readonly name: TargetName;
  readonly missing: string;
}

export interface Peer {
  readonly name: TargetName;
  start(ground: Ground, models: Models): Promise<Target | Missing>;
}

/** Other gateways, fetched at the first use; where that fails they are left out by name. */
export const PEERS: readonly Peer[] = [
  {
    name: NAMES.portkey,
    start: (ground, models) => orMissing(NAMES.portkey, () => startPortkey(ground, models)),
  },
  {
    name: NAMES.litellm,
    start: (ground, models) => orMissing(NAMES.litellm, () => startLiteLlm(ground, models)),
  },
];

async function orMissing(name: TargetName, start: () => Promise<Target>): Promise<Target | Missing> {
  try {
    return await start();
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { name, missing: line };
  }
}

async function startPortkey({ processes }: Ground, { instant }: Models): Promise<Target> {
  const folder = await cached(`portkey-${PORTKEY}`, async (path) => {
    const flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    const wanted = `@portkey-ai/gateway@${PORTKEY}`;
    await run("npm", ["install", ...flags, "--prefix", path, wanted], {
      cwd: path,
      timeout: INSTALL_LIMIT_MS,
    });
  });
  const port = await freePort();
  const program = join(folder, "node_modules/@portkey-ai/gateway/build/start-server.js");
  const started = await processes.program([process.execPath, program, `--port=${port}`, "--headless"], port, {
    ...QUIET,
    env: { PATH: process.env.PATH, NODE_ENV: "production", TRUSTED_CUSTOM_HOSTS: "127.0.0.1" },
  });
  const headers = {
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `${urlOf(instant.port)}/v1`,
  };
  return { name: NAMES.portkey, instant: started, headers };
}

async function startLiteLlm({ processes, folder }: Ground, { instant }: Models): Promise<Target> {
  const venv = await cached(`litellm-${LITELLM}`, installLiteLlm);
  const port = await freePort();
  const config = join(folder, "litellm.json");
  await writeFile(config, JSON.stringify(liteLlmConfig(instant.port)));
  const program = join(venv, "bin/litellm");
  const flags = ["--config", config, "--host", "127.0.0.1", "--port", String(port), "--num_workers", "1"];
  const started: Started = await processes.program([program, ...flags], port, {
    ...QUIET,
    cwd: folder,
    env: {
      PATH: `${join(venv, "bin")}:${process.env.PATH}`,
      // Without it LiteLLM asks the network for prices at every start.
      LITELLM_LOCAL_MODEL_COST_MAP: "True",
      LITELLM_LOG: "ERROR",
      LITELLM_MODE: "PRODUCTION",
    },
  });
  return { name: NAMES.litellm, instant: started };
}

function liteLlmConfig(port: number): object {
  const backend = { model: `openai/${MODEL}`, api_base: `${urlOf(port)}/v1`, api_key: KEY };
  return {
    model_list: [{ model_name: MODEL, litellm_params: backend }],
    general_settings: { master_key: KEY },
    litellm_settings: { telemetry: false },
  };
}

async function installLiteLlm(venv: string): Promise<void> {
  await run(await findPython(), ["-m", "venv", venv], { timeout: INSTALL_LIMIT_MS });
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  const wanted = `litellm[proxy]==${LITELLM}`;
  await run(join(venv, "bin/python"), [...pip, wanted], { timeout: INSTALL_LIMIT_MS });
}

async function findPython(): Promise<string> {
  for (const python of PYTHONS) {
    const works = await run(python, ["--version"]).catch(() => undefined);
    if (works) return python;
  }
  throw new Error("no Python 3.10 or newer is on PATH");
}
