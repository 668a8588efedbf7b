import type { Server } from "node:http";
import type { Duplex } from "node:stream";
import { ApiError } from "./api/errors.ts";

const HEAD = [
  "HTTP/1.1 400 Bad Request",
  "Content-Type: application/json",
  "Connection: close",
  "Content-Length: ",
].join("\r\n");

/** Answers what never becomes a request, such as broken HTTP or a body that does not arrive in time, as the API does. */
export function answerClientErrors(server: Server): void {
  const body = new ApiError("invalid_request", {
    message: "The request is no complete HTTP/1.1 request.",
  }).toBody();
  const answer = `${HEAD}${Buffer.byteLength(body)}\r\n\r\n${body}`;
  server.on("clientError", (_error, socket: Duplex & { bytesWritten?: number }) => {
    // On a connection that was used before, these bytes could land in the middle of another answer.
    if (socket.writable && socket.bytesWritten === 0) socket.end(answer);
    else socket.destroy();
  });
}
