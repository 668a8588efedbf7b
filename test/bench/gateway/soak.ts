import { type Dispatcher, Pool } from "undici";
import { MODEL } from "./answer.ts";
import type { InstrumentedGateway } from "./instrumented.ts";
import { KEY, urlOf } from "./settings.ts";
import { CHAT_PATH, CONNECTIONS, chatBody } from "./wrk.ts";

/** What a gateway holds on to, in bytes, after garbage collection. */
export interface Weight {
  readonly requests: number;
  /** JavaScript objects and the buffers behind them. */
  readonly held: number;
  /** What the operating system counts for the process. */
  readonly resident: number;
}

export async function weigh(gateway: InstrumentedGateway, requests: number): Promise<Weight> {
  const { heapUsed, external, rss } = await gateway.memory();
  return { requests, held: heapUsed + external, resident: rss };
}

/** In percent of what it was before. */
export function growth(before: Weight, after: Weight, of: "held" | "resident"): number {
  return (100 * (after[of] - before[of])) / before[of];
}

/** Bytes that every request between the two left behind. */
export function leftBehind(before: Weight, after: Weight): number {
  return (after.held - before.held) / (after.requests - before.requests);
}

interface Kind {
  readonly body: string;
  readonly key: string;
  readonly status: number;
  /** Whether the client goes away as soon as the answer begins. */
  readonly leaves?: true;
}

const JSON_CHAT: Kind = { body: chatBody(MODEL), key: KEY, status: 200 };
const STREAM: Kind = { body: chatBody(MODEL, { stream: true }), key: KEY, status: 200 };
/** What clients do, good and bad; each of ten requests is the next of these. */
const MIX: readonly Kind[] = [
  JSON_CHAT,
  JSON_CHAT,
  STREAM,
  JSON_CHAT,
  { ...STREAM, leaves: true },
  JSON_CHAT,
  { ...JSON_CHAT, key: "sk-unknown", status: 401 },
  JSON_CHAT,
  { ...JSON_CHAT, body: chatBody("no-such-model"), status: 404 },
  { ...JSON_CHAT, body: '{"model":', status: 400 },
];

/** Share of them that a model is asked for. */
export const REACH_MODEL = MIX.filter(({ status }) => status === 200).length / MIX.length;

/** Sends so many requests of all kinds over 32 connections. Rejects when one is not answered as it must be. */
export async function sendMix(port: number, requests: number): Promise<void> {
  const pool = new Pool(urlOf(port), { connections: CONNECTIONS, pipelining: 1 });
  let sent = 0;
  const connection = async () => {
    while (sent < requests) {
      const kind = MIX[sent % MIX.length] ?? JSON_CHAT;
      sent += 1;
      await send(pool, kind);
    }
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  } finally {
    await pool.destroy();
  }
}

async function send(pool: Pool, { body, key, status, leaves }: Kind): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(controller, given) {
      if (given !== status) reject(new Error(`a request was answered with ${given}, not ${status}`));
      if (leaves) controller.abort(new Error("left"));
    },
    onResponseData() {},
    onResponseEnd: () => resolve(),
    onResponseError: (_controller, error) => (leaves ? resolve() : reject(error)),
  };
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  pool.dispatch({ path: CHAT_PATH, method: "POST", headers, body }, handler);
  return promise;
}
