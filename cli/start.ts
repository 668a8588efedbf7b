import { once } from "node:events";
import { createServer } from "node:net";
import pc from "picocolors";
import { bringUp } from "./bring-up.ts";
import { UserError } from "./errors.ts";
import { interruptible } from "./interruption.ts";
import { readOptions } from "./options.ts";
import {
  colorStack,
  ENVIRONMENT,
  type LocalPlatform,
  type OpenPlatform,
  openPlatform,
  outputsOf,
  type RouterSettings,
} from "./platform.ts";
import { isRunning, stopProcesses } from "./processes.ts";
import { openJournal } from "./site.ts";
import {
  chooseRunner,
  lockPlatform,
  prepare,
  preparePassphrase,
  rememberedPort,
  rememberPort,
} from "./state-folder.ts";
import { seconds } from "./view.ts";

/** `npm start`: brings the stacks of this machine up, and says how to talk to it. */
export async function start(args: string[]): Promise<void> {
  const options = readOptions(args, { port: { type: "string" }, runner: { type: "string" } });
  const begin = performance.now();
  prepare();
  const unlock = lockPlatform();
  try {
    chooseRunner(options.runner);
    preparePassphrase();
    const port = options.port ?? rememberedPort();
    const opened = await openPlatform(port);
    const changed = await bringUpOrNothing(opened);
    if (port !== undefined) rememberPort(port);
    const time = seconds(performance.now() - begin);
    console.log(
      changed ? `\nThe platform is up (${time}).` : `Nothing to change: the platform is up (${time}).`,
    );
    await explain(opened.platform);
    tellOfRelease();
  } finally {
    unlock();
  }
}

/** @returns whether anything changed. */
async function bringUpOrNothing({ platform, router }: OpenPlatform): Promise<boolean> {
  const wasRunning = await isRunning(platform);
  if (!wasRunning) await requireFreePort(router);
  const { signal, done } = interruptible();
  try {
    return await bringUp(platform, signal);
  } catch (error) {
    // What ran before goes on serving; a platform that did not run before must not run by half.
    if (!wasRunning) await stopProcesses(platform);
    throw error;
  } finally {
    done();
  }
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

async function explain(platform: LocalPlatform): Promise<void> {
  const local = await outputsOf(platform.local);
  const active = openJournal().latest()?.head.active ?? "blue";
  const { models: served } = await outputsOf(platform[colorStack(active)]);
  const models = served as { name: string; task: string }[];
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

/** A release that was cut off stands still until somebody goes on with it or takes it back. */
function tellOfRelease(): void {
  const rollout = openJournal().latest()?.head.rollout;
  if (rollout === undefined) return;
  console.log(
    `\nA release onto ${rollout.to} stands at "${rollout.phase}".\n` +
      `\`npm run release -- ${ENVIRONMENT}\` goes on with it, \`npm run rollback -- ${ENVIRONMENT}\` takes it back.`,
  );
}
