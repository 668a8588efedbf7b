import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./processes.ts";
import { KEY } from "./settings.ts";

export const CONNECTIONS = 32;
export const CHAT_PATH = "/v1/chat/completions";

/** What wrk found in one run. */
export interface Load {
  readonly requestsPerSecond: number;
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx and connections that broke. */
  readonly errors: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly model: string;
  readonly seconds: number;
  /** Beside those that every target gets. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds over which the connections begin, so that a model's fixed delay does not keep them in step. @default 0 */
  readonly spreadMs?: number | undefined;
  /** Where its script may lie. */
  readonly folder: string;
}

export function chatBody(model: string, rest: object = {}): string {
  return JSON.stringify({
    model,
    messages: [{ role: "user", content: "How do I keep a model warm?" }],
    ...rest,
  });
}

/** Loads a target with chats over 32 connections. wrk corrects its percentiles for requests that it sent late. */
export async function load(options: LoadOptions): Promise<Load> {
  const script = join(options.folder, `${randomUUID()}.lua`);
  await writeFile(script, toScript(options));
  const url = `http://127.0.0.1:${options.port}${CHAT_PATH}`;
  const seconds = `-d${options.seconds}s`;
  const { stdout } = await run("wrk", [
    "-t1",
    `-c${CONNECTIONS}`,
    seconds,
    "--timeout",
    "10s",
    "-s",
    script,
    url,
  ]);
  return parse(stdout);
}

function toScript({ model, headers = {}, spreadMs = 0 }: LoadOptions): string {
  const all = { "Content-Type": "application/json", Authorization: `Bearer ${KEY}`, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  return `wrk.method = "POST"
wrk.body = [[${chatBody(model)}]]
${lines.join("\n")}
${spreadMs > 0 ? spread(spreadMs) : ""}
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"p50":%f,"p99":%f}\\n',
    summary.requests, summary.duration,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`;
}

// wrk asks before every request; only each connection's first one waits.
function spread(milliseconds: number): string {
  return `local sent = 0
function delay()
  sent = sent + 1
  if sent > ${CONNECTIONS} then return 0 end
  return math.floor(sent * ${milliseconds} / ${CONNECTIONS})
end`;
}

/** @param output what wrk printed; its last line is our script's */
export function parse(output: string): Load {
  const line = output.trim().split("\n").at(-1) ?? "";
  if (!line.startsWith("{")) throw new Error(`wrk did not tell what it found: ${line}`);
  const found = JSON.parse(line) as Record<"requests" | "us" | "errors" | "p50" | "p99", number>;
  return {
    requests: found.requests,
    requestsPerSecond: (found.requests / found.us) * 1e6,
    p50Ms: found.p50 / 1000,
    p99Ms: found.p99 / 1000,
    errors: found.errors,
  };
}
