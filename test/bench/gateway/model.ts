// A model that takes its time: `model.ts <delay in ms> <chunks per stream> <ms between two chunks>`.
// Its streams advance together, as those of an engine do: each of its steps gives every stream one token.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ANSWER, END, WORD } from "./answer.ts";

const [delayMs = 0, chunks = 20, intervalMs = 10] = process.argv.slice(2).map(Number);

interface Stream {
  readonly response: ServerResponse;
  left: number;
}

const streams = new Set<Stream>();

setInterval(() => {
  for (const stream of streams) {
    stream.left -= 1;
    if (stream.left > 0) stream.response.write(WORD);
    else finish(stream);
  }
}, intervalMs);

function finish(stream: Stream): void {
  streams.delete(stream);
  stream.response.end(END);
}

function answer(response: ServerResponse, streamed: boolean): void {
  if (!streamed) {
    response.writeHead(200, { "content-type": "application/json", "content-length": ANSWER.length });
    response.end(ANSWER);
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(WORD);
  const stream = { response, left: chunks - 1 };
  streams.add(stream);
  response.on("close", () => streams.delete(stream));
}

const server = createServer((request, response) => {
  const body: Buffer[] = [];
  request.on("data", (chunk: Buffer) => body.push(chunk));
  request.on("end", () => {
    const streamed = Buffer.concat(body).includes('"stream":true');
    if (delayMs === 0 || request.method === "GET") answer(response, streamed);
    else setTimeout(answer, delayMs, response, streamed);
  });
});
server.keepAliveTimeout = 3_600_000;

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
