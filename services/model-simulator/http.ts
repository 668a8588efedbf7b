import type { IncomingMessage, ServerResponse } from "node:http";
import { type ApiError, invalidFields, tooLarge, unsupportedMediaType } from "./errors.ts";
import type { Fault } from "./faults.ts";

/** One request and its answer on the way through the server. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fault: Fault | undefined;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** Sends a whole answer. A `cut` fault ends the connection halfway through it. */
export function send(exchange: Exchange, status: number, content: { type?: string; body: string }) {
  const { response, fault } = exchange;
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(content.body);
  const type = content.type === undefined ? {} : { "content-type": content.type };
  response.writeHead(status, { "content-length": body.length, ...type });
  if (fault?.cut === undefined) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, body.length >> 1), () => response.destroy());
}

export function sendJson(exchange: Exchange, status: number, body: unknown) {
  send(exchange, status, { type: "application/json", body: JSON.stringify(body) });
}

export function sendError(exchange: Exchange, error: ApiError) {
  sendJson(exchange, error.status, error.body);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const position = /at position (\d+)/.exec(error instanceof Error ? error.message : "");
    const at = position?.[1] ?? String(text.length);
    throw invalidFields([
      {
        type: "json_invalid",
        loc: `body.${at}`,
        msg: "JSON decode error",
        input: {},
        ctx: { error: "Expecting value" },
      },
    ]);
  }
}

/** The JSON body; throws what vLLM answers to another media type, to no body and to broken JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request);
  if (body.length === 0) {
    throw invalidFields([{ type: "missing", loc: "body", msg: "Field required", input: undefined }]);
  }
  const mediaType = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (mediaType !== "application/json") throw unsupportedMediaType();
  return parseJson(body.toString("utf8"));
}

/** Server-sent events. What is sent within one turn of the event loop leaves in one write. */
export class EventStream {
  readonly #exchange: Exchange;
  #buffer = "";
  #left: number;
  #cut = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#left = exchange.fault?.cut ?? Number.POSITIVE_INFINITY;
    exchange.response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    exchange.response.flushHeaders();
    this.#cutWhenDue();
  }

  event(data: unknown) {
    this.#append(`data: ${JSON.stringify(data)}\n\n`);
  }

  /** Sends the end marker and closes the stream. */
  end() {
    this.#append("data: [DONE]\n\n");
    if (this.#cut) return;
    this.#exchange.response.end(this.#buffer);
    this.#buffer = "";
  }

  #append(text: string) {
    if (this.#cut) return;
    if (this.#buffer === "") process.nextTick(() => this.#flush());
    this.#buffer += text;
    this.#left -= 1;
    this.#cutWhenDue();
  }

  #cutWhenDue() {
    if (this.#left > 0) return;
    this.#cut = true;
    const { response } = this.#exchange;
    response.write(this.#buffer, () => response.destroy());
    this.#buffer = "";
  }

  #flush() {
    if (this.#buffer === "") return;
    this.#exchange.response.write(this.#buffer);
    this.#buffer = "";
  }
}

/** Calls `left` when the client goes away before the answer is complete. */
export function onClientGone({ response }: Exchange, left: () => void) {
  response.on("close", () => {
    if (!response.writableFinished) left();
  });
}
