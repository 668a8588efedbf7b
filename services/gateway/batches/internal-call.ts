import { request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { duplexPair } from "node:stream";
import { REQUEST_ID_HEADER } from "../contract.ts";
import type { Principal } from "../tenancy/principal.ts";

// Far above any answer that a model writes; what is larger would fill the memory.
const MAX_ANSWER_BYTES = 16 * 1_048_576;

/** A request that the gateway makes to itself, on behalf of somebody who asked before. */
export interface InternalCaller {
  readonly principal: Principal;
  /** A UUID that is the same whenever the same is asked for again. */
  readonly billedAs: string;
}

export interface InternalRequest {
  readonly caller: InternalCaller;
  readonly path: string;
  readonly requestId: string;
  readonly body: string;
  /** Ends the request as a client would that leaves. */
  readonly signal: AbortSignal;
}

export interface InternalAnswer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly body: string;
}

/** The answer is larger than the gateway keeps. */
export class AnswerTooLarge extends Error {}

// By the connection itself: nothing that a client sends can make its connection one of these.
const callers = new WeakMap<object, InternalCaller>();

/** For whom the gateway asks itself; undefined for a client's request. */
export function internalCallerOf({ socket }: IncomingMessage): InternalCaller | undefined {
  return callers.get(socket);
}

/** Sends a request through the gateway's own server, on a connection in memory: it takes the same steps as any other. */
export async function callInternally(server: Server, request: InternalRequest): Promise<InternalAnswer> {
  const [near, far] = duplexPair();
  // What a socket does by itself: when one end is gone, the other is told.
  near.once("close", () => far.destroy());
  far.once("close", () => near.destroy());
  near.on("error", () => undefined);
  far.on("error", () => undefined);
  callers.set(far, request.caller);
  server.emit("connection", far);
  try {
    return await send(request, near);
  } finally {
    near.destroy();
  }
}

async function send(request: InternalRequest, connection: ReturnType<typeof duplexPair>[0]) {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = httpRequest({
    createConnection: () => connection,
    method: "POST",
    path: request.path,
    signal: request.signal,
    headers: {
      host: "gateway",
      connection: "close",
      "content-type": "application/json",
      "content-length": Buffer.byteLength(request.body),
      [REQUEST_ID_HEADER]: request.requestId,
    },
  });
  outgoing.once("response", resolve).once("error", reject).end(request.body);
  const incoming = await promise;
  const body = await whole(incoming);
  const retryAfter = Number(incoming.headers["retry-after"] ?? Number.NaN);
  return {
    status: incoming.statusCode ?? 0,
    retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
    body,
  };
}

async function whole(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new AnswerTooLarge();
  }
  return Buffer.concat(chunks).toString();
}
