// A model that answers at once: what is left to measure is the proxy in front of it.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const EVENTS = 20;
const USAGE = { prompt_tokens: 8, completion_tokens: EVENTS, total_tokens: 8 + EVENTS };
const ANSWER = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1,
  model: "bench",
  choices: [
    { index: 0, message: { role: "assistant", content: "word ".repeat(EVENTS) }, finish_reason: "stop" },
  ],
  usage: USAGE,
});

function event(rest: object): string {
  return `data: ${JSON.stringify({ id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1, model: "bench", ...rest })}\n\n`;
}

const WORD = event({ choices: [{ index: 0, delta: { content: "word " }, finish_reason: null }] });
const LAST = event({ choices: [{ index: 0, delta: { content: "word " }, finish_reason: "stop" }] });
const END = `${LAST}${event({ choices: [], usage: USAGE })}data: [DONE]\n\n`;

function stream(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let left = EVENTS - 1;
  const next = () => {
    left -= 1;
    if (left === 0) response.end(END);
    else response.write(WORD, next);
  };
  response.write(WORD, next);
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    if (Buffer.concat(chunks).includes('"stream":true')) return stream(response);
    response.writeHead(200, { "content-type": "application/json", "content-length": ANSWER.length });
    return response.end(ANSWER);
  });
});

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
