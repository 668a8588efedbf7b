import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";
import { stringify } from "yaml";
import type { PromptTestArgs } from "../../../release/checks/prompts.ts";
import { loadPrompts } from "../../../release/checks/prompts.ts";
import { closeServer, listen } from "../../services/gateway/support.ts";
import { NEVER } from "./support.ts";

export const KEY = "sk-prompts-test";
export const SHIPPED = path.resolve(import.meta.dirname, "../../../prompts");

/** A folder with these files, given as text or as what YAML is made of; gone after the test. */
export async function folderOf(files: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "prompts-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    await writeFile(path.join(folder, name), typeof content === "string" ? content : stringify(content));
  }
  return folder;
}

/** A prompt that is in order but for what is replaced. */
export function promptOf(more: object = {}): object {
  return {
    name: "greet",
    version: "1.0.0",
    description: "Greets.",
    parameters: { max_tokens: 50 },
    user: "Hello {{ name }}",
    tests: [{ name: "greets", variables: { name: "Ada" }, expect: { contains: "hi" } }],
    ...more,
  };
}

export interface Asked {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

/** A color that answers prompts as the test says; gone after the test. */
export async function startAnswering(answer: (asked: Asked, response: ServerResponse) => void) {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Asked;
    asked.push(body);
    answer(body, response);
  });
  const url = await listen(server);
  onTestFinished(() => closeServer(server));
  return { url, asked };
}

interface Said {
  readonly content?: string | null;
  readonly finish?: string;
  readonly tokens?: number | undefined;
  readonly calls?: readonly string[];
}

/** Sends a chat completion. */
export function say(
  response: ServerResponse,
  { content = "hi", finish = "stop", tokens = 5, calls }: Said,
): void {
  const tool_calls = calls?.map((name) => ({
    id: "1",
    type: "function",
    function: { name, arguments: "{}" },
  }));
  const message = { role: "assistant", content, ...(tool_calls && { tool_calls }) };
  const body = {
    choices: [{ index: 0, message, finish_reason: finish }],
    ...(tokens >= 0 && { usage: { completion_tokens: tokens } }),
  };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** Arguments of a run of these prompts, once each, one at a time. */
export async function argsFor(
  url: string,
  prompts: readonly object[],
  more: Partial<PromptTestArgs> = {},
): Promise<PromptTestArgs> {
  const files = prompts.map((prompt, index) => [`prompt-${index}.yaml`, prompt] as const);
  return {
    url,
    key: KEY,
    prompts: await loadPrompts(await folderOf(Object.fromEntries(files))),
    models: [{ name: "tiny", task: "chat" }],
    repeats: 1,
    concurrency: 1,
    signal: NEVER,
    ...more,
  };
}
