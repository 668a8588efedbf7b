import { setTimeout as wait } from "node:timers/promises";
import { type Dispatcher, Pool } from "undici";
import { KEY, urlOf } from "./settings.ts";
import { CHAT_PATH, CONNECTIONS, chatBody } from "./wrk.ts";

const HEADERS = { "content-type": "application/json", authorization: `Bearer ${KEY}` };

export interface StreamLoad {
  readonly port: number;
  readonly model: string;
  /** How many streams each of the 32 connections asks for, one after the other. */
  readonly perConnection: number;
  /** Milliseconds over which the connections begin. */
  readonly spreadMs: number;
}

/** Reads streams over 32 connections. @returns milliseconds from each request to its first chunk */
export async function readStreams({ port, model, perConnection, spreadMs }: StreamLoad): Promise<number[]> {
  const pool = new Pool(urlOf(port), { connections: CONNECTIONS, pipelining: 1 });
  const body = chatBody(model, { stream: true, stream_options: { include_usage: true } });
  const firsts: number[] = [];
  const connection = async (index: number) => {
    await wait((index * spreadMs) / CONNECTIONS);
    for (let left = perConnection; left > 0; left -= 1) firsts.push(await firstChunk(pool, body));
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => connection(index)));
  } finally {
    await pool.destroy();
  }
  return firsts;
}

/** Resolves when the stream is over. */
async function firstChunk(pool: Pool, body: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const begin = performance.now();
  let first: number | undefined;
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(_controller, status) {
      if (status !== 200) reject(new Error(`a stream was answered with ${status}`));
    },
    onResponseData() {
      first ??= performance.now() - begin;
    },
    onResponseEnd() {
      if (first === undefined) reject(new Error("a stream was empty"));
      else resolve(first);
    },
    onResponseError(_controller, error) {
      reject(error);
    },
  };
  pool.dispatch({ path: CHAT_PATH, method: "POST", headers: HEADERS, body }, handler);
  return promise;
}
