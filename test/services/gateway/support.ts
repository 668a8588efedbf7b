import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type GatewayConfig, readConfig } from "../../../services/gateway/config.ts";
import { type RunningGateway, startGateway } from "../../../services/gateway/server.ts";

export const KEY = "sk-test-8c1f";
export const MODEL = "chat-model";
export const EMBEDDER = "embedding-model";
export const USAGE = { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 };

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A request as it reached the fake replica. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** Resolves when the connection of this request is gone or its answer is complete; true if it was cut. */
  readonly aborted: Promise<boolean>;
}

export type Behaviour = (request: Received, response: ServerResponse) => void | Promise<void>;

/** A replica that answers /health by itself and everything else as the test says. */
export interface FakeReplica {
  readonly url: string;
  readonly received: Received[];
  behave: Behaviour;
  /** What /health answers with. */
  health: number;
  close(): Promise<void>;
}

export async function startReplica(behave: Behaviour = answerChat): Promise<FakeReplica> {
  const received: Received[] = [];
  const replica = { received, behave, health: 200 };
  const server = createServer(async (request, response) => {
    if (request.url === "/health") {
      response.writeHead(replica.health).end();
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const aborted = once(response, "close").then(() => !response.writableFinished);
    const entry = {
      path: request.url ?? "",
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
      aborted,
    };
    received.push(entry);
    await replica.behave(entry, response);
  });
  const url = await listen(server);
  return Object.assign(replica, { url, close: () => closeServer(server) });
}

export async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

/** The URL of a port on which nothing listens. */
export async function deadUrl(): Promise<string> {
  const server = createServer();
  const url = await listen(server);
  await closeServer(server);
  return url;
}

export const CHAT_ANSWER = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: MODEL,
  choices: [{ index: 0, message: { role: "assistant", content: "Hello there." }, finish_reason: "stop" }],
  usage: USAGE,
};

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export function sse(payload: unknown): string {
  return `data: ${typeof payload === "string" ? payload : JSON.stringify(payload)}\n\n`;
}

export function chunk(content: string, finishReason: string | null = null) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: MODEL,
    choices: [{ index: 0, delta: { content }, finish_reason: finishReason }],
  };
}

export function usageChunk(usage: object = USAGE) {
  const { choices: _, ...rest } = chunk("");
  return { ...rest, choices: [], usage, system_fingerprint: "vllm-test" };
}

export function beginStream(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.flushHeaders();
}

/** Answers as an engine does: a chat or, if asked, a stream of three words. */
export const answerChat: Behaviour = ({ body }, response) => {
  const request = JSON.parse(body) as { stream?: boolean; stream_options?: { include_usage?: boolean } };
  if (!request.stream) return sendJson(response, CHAT_ANSWER);
  beginStream(response);
  response.write(sse(chunk("Hello")));
  response.write(sse(chunk(" there")));
  const asked = request.stream_options?.include_usage === true;
  response.write(sse({ ...chunk(".", "stop"), ...(asked ? {} : { system_fingerprint: "vllm-test" }) }));
  if (asked) response.write(sse(usageChunk()));
  response.end(sse("[DONE]"));
};

export interface TestGatewayOptions {
  readonly replicas: readonly string[];
  /** What each replica is given as its key. */
  readonly apiKey?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Sections of the settings file. @default no bounds for the tenant of the tests' key, else all defaults */
  readonly settings?: object;
}

const UNBOUNDED = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };
const PRICE = { promptUsd: 1, completionUsd: 4 };
const DEFAULTS = {
  tenants: { acme: { limits: UNBOUNDED } },
  cost: { prices: { [MODEL]: PRICE, [EMBEDDER]: PRICE } },
};

/** Writes a settings file; one for each content. */
export function settingsFile(settings: object = {}): string {
  const text = JSON.stringify({ ...DEFAULTS, ...settings });
  const file = join(tmpdir(), `gateway-settings-${process.pid}-${sha256(text).slice(0, 12)}.json`);
  if (!existsSync(file)) {
    writeFileSync(file, text);
    process.once("exit", () => rmSync(file, { force: true }));
  }
  return file;
}

export function environment({
  replicas,
  apiKey,
  env = {},
  settings,
}: TestGatewayOptions): Record<string, string> {
  const list = replicas.map((url) => ({ url, apiKey }));
  return {
    GATEWAY_COLOR: "blue",
    GATEWAY_RELEASE: "r1",
    GATEWAY_LOG_LEVEL: "silent",
    GATEWAY_PROBE_INTERVAL_SECONDS: "0.05",
    GATEWAY_KEEP_ALIVE_SECONDS: "1",
    GATEWAY_MODELS: JSON.stringify([
      { name: EMBEDDER, task: "embeddings", replicas: list },
      { name: MODEL, task: "chat", replicas: list },
    ]),
    GATEWAY_SETTINGS_FILE: settingsFile(settings),
    GATEWAY_KEYS: JSON.stringify([{ id: "key-1", sha256: sha256(KEY), tenant: "acme" }]),
    ...env,
  };
}

export function testConfig(options: TestGatewayOptions): GatewayConfig {
  return readConfig(environment(options));
}

/** A gateway in this process, ready to chat unless its replicas are dead. */
export async function startTestGateway(options: TestGatewayOptions): Promise<RunningGateway> {
  return startGateway(testConfig({ ...options, env: { GATEWAY_DRAIN_SECONDS: "0", ...options.env } }));
}

export function chatBody(extra: object = {}): string {
  return JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Hi" }], ...extra });
}

export interface PostOptions {
  readonly path?: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

export function post(
  url: string,
  { path = "/v1/chat/completions", body = chatBody(), headers = {}, signal }: PostOptions = {},
): Promise<Response> {
  return fetch(url + path, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json", ...headers },
    ...(signal ? { signal } : {}),
  });
}

export async function errorOf(response: Response): Promise<{
  status: number;
  message: string;
  type: string;
  param: string | null;
  code: string;
}> {
  const { error } = (await response.json()) as {
    error: { message: string; type: string; param: string | null; code: string };
  };
  return { status: response.status, ...error };
}

/** The payloads of all events, [DONE] as text. */
export function payloads(text: string): unknown[] {
  return text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length))
    .map((data): unknown => (data === "[DONE]" ? data : JSON.parse(data)));
}

/** Polls until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const limit = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > limit) throw new Error(`not so after ${limitMs} ms: ${condition}`);
    await wait(5);
  }
}

export async function metric(url: string, name: string, labels: Record<string, string>): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text
    .split("\n")
    .find(
      (candidate) =>
        candidate.startsWith(`${name}{`) &&
        Object.entries(labels).every(([label, value]) => candidate.includes(`${label}="${value}"`)),
    );
  return line === undefined ? 0 : Number(line.split(" ").at(-1));
}
