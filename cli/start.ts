import path from "node:path";
import { parseArgs } from "node:util";
import pc from "picocolors";
import { lock } from "../automation/embedded/index.ts";
import { PROJECT } from "../stacks/settings.ts";
import {
  type LocalPlatform,
  type Overrides,
  openPlatform,
  outputsOf,
  prepareStateFolder,
  STACKS,
  UserError,
} from "./platform.ts";
import { isRunning, stopProcesses } from "./processes.ts";
import { isChange, seconds, showEvent } from "./view.ts";

/** How long the gateway may take to find its models ready. */
const READY_TIMEOUT_MS = 30_000;
const READY_INTERVAL_MS = 100;

/** `npm start`: brings the stacks of this machine up, and says how to talk to it. */
export async function start(args: string[]): Promise<void> {
  const overrides = readArguments(args);
  const begin = performance.now();
  prepareStateFolder();
  const platform = await openPlatform(overrides);
  const unlock = lock(path.join(platform.stateFolder, "platform.lock"), "the platform");
  try {
    const changed = await bringUp(platform);
    await waitUntilReady(platform);
    const time = seconds(performance.now() - begin);
    console.log(
      changed ? `\nThe platform is up (${time}).` : `Nothing to change: the platform is up (${time}).`,
    );
    await explain(platform);
  } finally {
    unlock();
  }
}

function readArguments(args: string[]): Overrides {
  const { values } = parseArgs({ args, options: { port: { type: "string" } } });
  if (values.port === undefined) return {};
  return { local: { [`${PROJECT}:router`]: JSON.stringify({ port: Number(values.port) }) } };
}

/** @returns whether anything changed. */
async function bringUp(platform: LocalPlatform): Promise<boolean> {
  const wasRunning = await isRunning(platform);
  const interruption = new AbortController();
  const interrupt = () => {
    console.error("\nInterrupted: ending what is under way ...");
    interruption.abort();
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    let changed = false;
    for (const name of STACKS) {
      const stack = platform.stacks[name];
      const result = await stack.up({ refresh: true, onEvent: showEvent, signal: interruption.signal });
      changed ||= result.steps.some(isChange);
    }
    return changed;
  } catch (error) {
    // What ran before goes on serving; a platform that did not run before must not run by half.
    if (!wasRunning) await stopProcesses(platform);
    throw error;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

async function waitUntilReady(platform: LocalPlatform): Promise<void> {
  const { url } = await outputsOf(platform.stacks.local);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const response = await fetch(`${url}/ready`).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, READY_INTERVAL_MS));
  }
  throw new UserError(
    `the gateway at ${url} has no chat model that answers.\n` +
      `remedy: see what \`npm run status\` says and the logs in ${path.join(platform.stateFolder, "logs")}; ` +
      "models with `urls` in stacks/Pulumi.local-blue.yaml must be running already.",
  );
}

async function explain(platform: LocalPlatform): Promise<void> {
  const local = await outputsOf(platform.stacks.local);
  const blue = await outputsOf(platform.stacks["local-blue"]);
  const models = blue.models as { name: string; task: string }[];
  const model = models.find(({ task }) => task === "chat")?.name;
  const base = `${local.url}/v1`;
  const heading = (text: string) => console.log(`\n${pc.bold(text)}`);
  heading("Addresses");
  console.log(
    `  OpenAI API  ${base}\n  API document ${local.url}/openapi.json\n  Demo key    ${local.demoKey}`,
  );
  heading("curl");
  console.log(`curl ${base}/chat/completions -H 'Authorization: Bearer ${local.demoKey}' \\
  -H 'Content-Type: application/json' \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello!"}], "stream": true}'`);
  heading("Node.js (npm install openai)");
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
