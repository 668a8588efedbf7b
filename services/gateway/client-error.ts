import { type RequestListener, type Server, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { ApiError } from "./api/errors.ts";
import { RELEASE_HEADER } from "./contract.ts";

const HEADERS_TOO_LARGE = new ApiError("headers_too_large");
const INCOMPLETE = new ApiError("invalid_request", {
  message: "The request is no complete HTTP/1.1 request.",
});

function toAnswer(error: ApiError, release: string): string {
  const body = error.toBody();
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    "Content-Type: application/json",
    "Connection: close",
    `${RELEASE_HEADER}: ${release}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

/**
 * The same listener for whole requests only: Node.js itself would refuse one without its host in no shape of the API's.
 * The server must leave it to this one, by `requireHostHeader: false`.
 */
export function refusingHostless(listener: RequestListener, release: string): RequestListener {
  return (request, response) => {
    if (request.headers.host !== undefined || request.httpVersion !== "1.1")
      return listener(request, response);
    const body = INCOMPLETE.toBody();
    const length = String(Buffer.byteLength(body));
    const headers = ["content-type", "application/json", "content-length", length, RELEASE_HEADER, release];
    response.writeHead(INCOMPLETE.status, [...headers, "connection", "close"]).end(body);
  };
}

/** Answers what never becomes a request, such as broken HTTP or a body that does not arrive in time, as the API does. */
export function answerClientErrors(server: Server, release: string): void {
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex & { bytesWritten?: number }) => {
    // On a connection that was used before, these bytes could land in the middle of another answer.
    if (!socket.writable || socket.bytesWritten !== 0) socket.destroy();
    else {
      const answer = error.code === "HPE_HEADER_OVERFLOW" ? HEADERS_TOO_LARGE : INCOMPLETE;
      socket.end(toAnswer(answer, release));
    }
  });
}
