import { createServer, type Server } from "node:http";
import { onTestFinished } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  closeServer,
  EMBEDDER,
  listen,
  MODEL,
  startTestGateway,
  until,
} from "../../services/gateway/support.ts";
import { startSimulator } from "../../services/model-simulator/support.ts";

export const MODELS = [
  { name: EMBEDDER, task: "embeddings" as const },
  { name: MODEL, task: "chat" as const },
];

export const NEVER = new AbortController().signal;

async function isReady(url: string): Promise<boolean> {
  return (await fetch(`${url}/ready`)).status === 200;
}

/** A gateway before a simulator of each of its models; gone after the test. The flags are the chat model's. */
export async function startColor(...flags: string[]): Promise<RunningGateway> {
  const chat = await startSimulator(`--served-model-name=${MODEL}`, ...flags);
  const embedder = await startSimulator(`--served-model-name=${EMBEDDER}`, "--runner=pooling");
  const models = MODELS.map(({ name, task }) => {
    const { url } = task === "chat" ? chat : embedder;
    return { name, task, replicas: [{ url }] };
  });
  const env = { GATEWAY_MODELS: JSON.stringify(models) };
  const gateway = await startTestGateway({ replicas: [], env });
  onTestFinished(gateway.close);
  await until(() => isReady(gateway.url));
  return gateway;
}

/** What a proxy knows of one exchange. */
export interface Passing {
  readonly method: string;
  readonly path: string;
  /** As sent by the client; undefined where it is no JSON. */
  readonly request: { readonly stream?: boolean; readonly model?: string } | undefined;
  readonly headers: Record<string, string>;
  readonly anonymous: boolean;
  status: number;
  body: string;
}

/** A proxy before a color that alters what it answers; gone after the test. */
export async function startAltering(url: string, alter: (passing: Passing) => void): Promise<string> {
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const sent = Buffer.concat(chunks).toString();
    const { authorization, "content-type": type, "x-request-id": id } = request.headers;
    const answer = await fetch(url + request.url, {
      method: request.method ?? "GET",
      headers: Object.fromEntries(
        Object.entries({ authorization, "content-type": type, "x-request-id": id }).filter(
          (entry): entry is [string, string] => typeof entry[1] === "string",
        ),
      ),
      ...(sent === "" ? {} : { body: sent }),
    });
    const passing: Passing = {
      method: request.method ?? "GET",
      path: request.url ?? "",
      request: parse(sent),
      headers: {
        "content-type": answer.headers.get("content-type") ?? "",
        "x-request-id": answer.headers.get("x-request-id") ?? "",
      },
      anonymous: authorization === undefined,
      status: answer.status,
      body: await answer.text(),
    };
    alter(passing);
    response.writeHead(passing.status, passing.headers).end(passing.body);
  });
  onTestFinished(() => closeServer(server));
  return listen(server);
}

function parse(text: string): { stream?: boolean; model?: string } | undefined {
  try {
    return JSON.parse(text) as { stream?: boolean; model?: string };
  } catch {
    return undefined;
  }
}
