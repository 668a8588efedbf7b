import { onTestFinished } from "vitest";
import { readConfig } from "../../../services/model-simulator/config.ts";
import { type RunningSimulator, startModelSimulator } from "../../../services/model-simulator/server.ts";

const AT_ONCE = ["--sim-time-to-first-token-ms=0", "--sim-time-per-output-token-ms=0"];

/** A simulator on a free port with these flags alone; gone after the test. */
export async function startPlain(...flags: string[]): Promise<RunningSimulator> {
  const simulator = await startModelSimulator(
    readConfig(["--port=0", "--served-model-name=tiny", ...flags], {}),
  );
  onTestFinished(simulator.close);
  return simulator;
}

/** A simulator that answers at once, unless the flags say otherwise, and lets requests ask for faults. */
export function startSimulator(...flags: string[]): Promise<RunningSimulator> {
  return startPlain(...AT_ONCE, "--sim-allow-request-faults", ...flags);
}

export interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export function post(url: string, path: string, body: unknown, options: PostOptions = {}): Promise<Response> {
  const headers = { "content-type": "application/json", ...options.headers };
  const signal = options.signal ?? null;
  return fetch(url + path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

export interface ToolCall {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface ChatAnswer {
  readonly id: string;
  readonly choices: readonly {
    readonly index: number;
    readonly message: { readonly content: string | null; readonly tool_calls?: readonly ToolCall[] };
    readonly finish_reason: string;
    readonly stop_reason: string | number | null;
  }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number } | null;
  };
}

export const HELLO = [{ role: "user", content: "Say hello to the world." }];

/** A whole answer to a chat, "Say hello to the world." unless `more` holds other messages. */
export async function chat(url: string, more: object = {}, options: PostOptions = {}): Promise<ChatAnswer> {
  const response = await post(url, "/v1/chat/completions", { messages: HELLO, ...more }, options);
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as ChatAnswer;
}

export function contentOf(answer: ChatAnswer): string {
  return answer.choices[0]?.message.content ?? "";
}

export interface Chunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta: {
      readonly content?: string | null;
      readonly tool_calls?: readonly {
        readonly id?: string;
        readonly function: { name?: string; arguments?: string };
      }[];
    };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number };
  readonly error?: { readonly message: string };
}

/** The events of a stream without the end marker, and whether the marker came. */
export function parseEvents(text: string): { readonly chunks: Chunk[]; readonly ended: boolean } {
  const data = text.split("\n\n").flatMap((event) => (event.startsWith("data: ") ? [event.slice(6)] : []));
  const chunks = data.filter((event) => event !== "[DONE]").map((event) => JSON.parse(event) as Chunk);
  return { chunks, ended: data.at(-1) === "[DONE]" };
}

export async function streamChat(url: string, more: object = {}, options: PostOptions = {}) {
  const body = { messages: HELLO, stream: true, ...more };
  return parseEvents(await (await post(url, "/v1/chat/completions", body, options)).text());
}

export async function scrape(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}
