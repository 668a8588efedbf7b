import type { IncomingHttpHeaders } from "node:http";
import { Client } from "undici";

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_SHOWN = 160;

export interface Question {
  readonly method?: "GET" | "POST";
  readonly path: string;
  /** Sent as it is where it is a text, else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Without a key. Default: with. */
  readonly anonymous?: boolean;
}

/** Where to ask, and how long to wait. */
export interface Server {
  /** Base of the API, without `/v1`. */
  readonly url: string;
  readonly key: string;
  readonly signal: AbortSignal;
  /** Milliseconds until an answer must be complete. */
  readonly deadlineMs: number;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** There is no answer: the connection failed or broke, or the time was over. */
export class NoReply extends Error {}

/**
 * Asks once, on a connection of its own: one that was kept open may have ended unnoticed. Redirects are not followed.
 * @throws NoReply when no whole answer came; what `signal` says when it aborts.
 */
export async function ask(server: Server, question: Question): Promise<Reply> {
  const { origin, pathname } = new URL(server.url);
  const client = new Client(origin, { allowH2: false, headersTimeout: 0, bodyTimeout: 0 });
  const deadline = AbortSignal.timeout(server.deadlineMs);
  try {
    const { statusCode, headers, body } = await client.request({
      method: question.method ?? "GET",
      path: pathname.replace(/\/+$/, "") + question.path,
      headers: headersOf(question, server.key),
      body: bodyOf(question),
      signal: AbortSignal.any([server.signal, deadline]),
    });
    return { status: statusCode, headers, text: await readText(body) };
  } catch (error) {
    server.signal.throwIfAborted();
    if (deadline.aborted) throw new NoReply(`there was no whole answer after ${server.deadlineMs / 1000} s`);
    throw error instanceof NoReply ? error : new NoReply(`the connection failed: ${reasonOf(error)}`);
  } finally {
    await client.destroy();
  }
}

function headersOf({ anonymous, body, headers }: Question, key: string): Record<string, string> {
  return {
    ...(anonymous ? {} : { authorization: `Bearer ${key}` }),
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...headers,
  };
}

function bodyOf({ body }: Question): string | null {
  if (body === undefined) return null;
  return typeof body === "string" ? body : JSON.stringify(body);
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new NoReply(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "for no known reason";
  return "code" in error ? `${error.code}` : error.message;
}

/**
 * A text that somebody else wrote as it may be shown in a terminal: short, on one line, without control characters and
 * without the key.
 */
export function shown(text: string, key: string): string {
  const plain = text.replaceAll(/[\p{C}\p{Z}\s]+/gu, " ").trim();
  const without = key === "" ? plain : plain.replaceAll(key, "<key>");
  return without.length <= MAX_SHOWN ? without : `${without.slice(0, MAX_SHOWN)}…`;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
