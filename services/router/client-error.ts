import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { BAD_REQUEST, HEADERS_TOO_LARGE, type Refusal, TOO_SLOW } from "./refusals.ts";

const REFUSALS: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: HEADERS_TOO_LARGE,
  ERR_HTTP_REQUEST_TIMEOUT: TOO_SLOW,
};
// A connection that is closed on bytes that nobody read is reset, and the client may lose the answer.
const LINGER_MS = 1_000;

/** What goes on on one connection; more than one exchange where the client pipelines. */
interface Traffic {
  open: number;
  request: IncomingMessage;
  response: ServerResponse;
}

function toBytes({ status, headers, body }: Refusal): string {
  const lines = Object.entries({ ...headers, connection: "close" }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, "", body].join("\r\n");
}

function close(socket: Duplex, answer = ""): void {
  socket.end(answer);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
}

function refuse(code: string, socket: Duplex, traffic: Traffic | undefined): void {
  const begun = traffic?.response.headersSent === true;
  const answer = toBytes(REFUSALS[code] ?? BAD_REQUEST);
  if (!socket.writable) socket.destroy();
  else if (traffic === undefined || traffic.open === 0) close(socket, answer);
  else if (traffic.request.complete) {
    // What is broken came after a whole request, whose answer is on its way.
    if (!begun) traffic.response.shouldKeepAlive = false;
    traffic.response.once("finish", () => close(socket));
  } else if (traffic.open === 1 && !begun) close(socket, answer);
  else socket.destroy();
}

/** Answers what never becomes a whole request, such as broken HTTP, once for each connection, and closes it. */
export function answerClientErrors(server: Server): void {
  const connections = new WeakMap<Duplex, Traffic>();
  const refused = new WeakSet<Duplex>();
  server.on("request", (request, response) => {
    const { socket } = request;
    const traffic = { open: (connections.get(socket)?.open ?? 0) + 1, request, response };
    connections.set(socket, traffic);
    response.once("close", () => {
      const current = connections.get(socket);
      if (current) current.open -= 1;
    });
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (refused.has(socket)) return;
    refused.add(socket);
    refuse(error.code ?? "", socket, connections.get(socket));
  });
}
