import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { LoadArgs, LoadStats } from "../../../release/load/load.ts";
import { startLoad } from "../../../release/load/load.ts";
import { closeServer, listen } from "../../services/gateway/support.ts";

export const KEY = "sk-load-test";

/** A request as it reached the server. */
export interface Arrived {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: {
    readonly model: string;
    readonly stream?: boolean;
    readonly max_tokens?: number;
    readonly ignore_eos?: boolean;
  };
  readonly socket: Socket;
}

type Answer = (request: Arrived, response: ServerResponse) => void;

/** A server that answers as the test says; gone after the test. */
export async function startServer(answer: Answer): Promise<{ url: string; arrived: Arrived[] }> {
  const arrived: Arrived[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    const entry = { path: request.url ?? "", headers: request.headers, body, socket: request.socket };
    arrived.push(entry);
    answer(entry, response);
  });
  const url = await listen(server);
  onTestFinished(() => closeServer(server));
  return { url, arrived };
}

export function settings(url: string, more: Partial<LoadArgs> = {}): LoadArgs {
  return { url, key: KEY, models: { chat: "tiny" }, ratePerSecond: 200, ...more };
}

/** The figures of a load that stopped by itself. */
export async function loadOf(url: string, more: Partial<LoadArgs>): Promise<LoadStats> {
  const load = startLoad(settings(url, more));
  await load.finished;
  return load.stats();
}
