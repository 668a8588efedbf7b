import { once } from "node:events";
import { createServer } from "node:net";
import path from "node:path";
import pc from "picocolors";
import { PROJECT, stateFolder } from "../stacks/settings.ts";
import { UserError } from "./errors.ts";
import { readOptions } from "./options.ts";
import {
  type LocalPlatform,
  type Override,
  openPlatform,
  outputsOf,
  type RouterSettings,
  STACKS,
} from "./platform.ts";
import { isRunning, stopProcesses } from "./processes.ts";
import { lockPlatform, prepare, preparePassphrase, rememberedPort, rememberPort } from "./state-folder.ts";
import { isChange, seconds, showEvent } from "./view.ts";

/** How long the gateway may take to find its models ready. */
const READY_TIMEOUT_MS = 30_000;
const READY_INTERVAL_MS = 100;
/** Ctrl-C, an orderly end, and the end of the terminal. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `npm start`: brings the stacks of this machine up, and says how to talk to it. */
export async function start(args: string[]): Promise<void> {
  const options = readOptions(args, { port: { type: "string" } });
  const begin = performance.now();
  prepare();
  const unlock = lockPlatform();
  try {
    preparePassphrase();
    const port = options.port ?? rememberedPort();
    const { platform, router } = await openPlatform(withPort(port));
    const changed = await bringUp(platform, router);
    if (port !== undefined) rememberPort(port);
    const time = seconds(performance.now() - begin);
    console.log(
      changed ? `\nThe platform is up (${time}).` : `Nothing to change: the platform is up (${time}).`,
    );
    await explain(platform);
  } finally {
    unlock();
  }
}

/** The port of the command line wins over the settings, until another command line says otherwise. */
function withPort(port: string | undefined): Override {
  const key = `${PROJECT}:router`;
  return (stack, config) => {
    if (port === undefined || stack !== "local") return config;
    const wanted = /^\d+$/.test(port) ? Number(port) : port;
    return { ...config, [key]: JSON.stringify({ ...JSON.parse(config[key] ?? "{}"), port: wanted }) };
  };
}

/** Turns Ctrl-C into an orderly end of what is under way; a second one ends the command at once. */
function interruptible(): { signal: AbortSignal; done: () => void } {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(1);
    console.error("\nInterrupted: ending what is under way ...");
    controller.abort();
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const done = () => {
    for (const signal of SIGNALS) process.off(signal, interrupt);
  };
  return { signal: controller.signal, done };
}

/** @returns whether anything changed. */
async function bringUp(platform: LocalPlatform, router: RouterSettings): Promise<boolean> {
  await requireSameProject(platform);
  const wasRunning = await isRunning(platform);
  if (!wasRunning) await requireFreePort(router);
  const { signal, done } = interruptible();
  try {
    let changed = false;
    for (const name of STACKS) {
      const result = await platform[name].up({ refresh: true, onEvent: showEvent, signal });
      changed ||= result.steps.some(isChange);
    }
    await waitUntilReady(platform, signal);
    return changed;
  } catch (error) {
    // What ran before goes on serving; a platform that did not run before must not run by half.
    if (!wasRunning) await stopProcesses(platform);
    throw error;
  } finally {
    done();
  }
}

/** @throws UserError when the state was made under another project's name: nothing in it could be matched. */
async function requireSameProject(platform: LocalPlatform): Promise<void> {
  const resources = await Promise.all(STACKS.map((name) => platform[name].resources()));
  const projects = new Set(resources.flat().map(({ urn }) => urn.split("::")[1]));
  const other = [...projects].find((project) => project !== PROJECT);
  if (other === undefined) return;
  throw new UserError(
    `the state in ${stateFolder()} was made by project "${other}", this is "${PROJECT}".\n` +
      "remedy: run `npm stop -- --purge` to begin anew, or set PLATFORM_STATE to another folder.",
  );
}

/** Looks before anything is made, so that the commonest obstacle is told at once. */
async function requireFreePort({ address, port }: RouterSettings): Promise<void> {
  const server = createServer();
  try {
    server.listen(port, address);
    await once(server, "listening");
  } catch (error) {
    throw new UserError(
      `${address}:${port} cannot be listened on: ${(error as Error).message}.\n` +
        "remedy: end what uses it, or choose another port: npm start -- --port <number>.",
    );
  } finally {
    server.close();
  }
}

async function waitUntilReady(platform: LocalPlatform, signal: AbortSignal): Promise<void> {
  const { url } = await outputsOf(platform.local);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline) {
    if (signal.aborted)
      throw new UserError("interrupted while waiting for the models.\nremedy: run the command again.");
    const response = await fetch(`${url}/ready`).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, READY_INTERVAL_MS));
  }
  throw new UserError(
    `the gateway at ${url} has no chat model that answers.\n` +
      `remedy: read the logs in ${path.join(stateFolder(), "logs")}; ` +
      "models with `urls` in stacks/Pulumi.local-blue.yaml must be running already.",
  );
}

async function explain(platform: LocalPlatform): Promise<void> {
  const local = await outputsOf(platform.local);
  const blue = await outputsOf(platform["local-blue"]);
  const models = blue.models as { name: string; task: string }[];
  const model = models.find(({ task }) => task === "chat")?.name;
  const base = `${local.url}/v1`;
  const heading = (text: string) => console.log(`\n${pc.bold(text)}`);
  heading("Addresses");
  console.log(
    `  OpenAI API    ${base}\n  API document  ${local.url}/openapi.json\n  Demo key      ${local.demoKey}`,
  );
  heading("curl");
  console.log(`curl ${base}/chat/completions -H 'Authorization: Bearer ${local.demoKey}' \\
  -H 'Content-Type: application/json' \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello!"}], "stream": true}'`);
  heading("Node.js (npm install openai; save as hello.mjs)");
  console.log(`import OpenAI from "openai";
const client = new OpenAI({ baseURL: "${base}", apiKey: "${local.demoKey}" });
const answer = await client.chat.completions.create({
  model: "${model}",
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(answer.choices[0].message.content);`);
  heading("Python (pip install openai)");
  console.log(`from openai import OpenAI
client = OpenAI(base_url="${base}", api_key="${local.demoKey}")
answer = client.chat.completions.create(
    model="${model}", messages=[{"role": "user", "content": "Hello!"}]
)
print(answer.choices[0].message.content)`);
}
