import { ApiError } from "../api/errors.ts";
import { NO_MODEL } from "../contract.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { rankOf } from "../queue/waiting.ts";

export function tooLarge(limit: number): ApiError {
  return new ApiError("request_too_large", {
    message: `The request's body may hold at most ${limit} bytes.`,
  });
}

/**
 * The whole body.
 * @throws {ApiError} when it is too large or too late, or when too much arrives at the same time
 */
export async function readBody(exchange: Exchange, gateway: Gateway): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const { request, headers } = exchange;
  const { arriving, config, settings } = gateway;
  // The server itself would wait for as long as an upload may take.
  const late = setTimeout(() => {
    headers.push("connection", "close");
    stop(new ApiError("invalid_request", { message: "The request's body did not arrive in time." }));
  }, config.requestTimeoutSeconds * 1000);
  const chunks: Buffer[] = [];
  let size = 0;
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    arriving.bytes += chunk.length;
    if (size > config.maxBodyBytes) stop(tooLarge(config.maxBodyBytes));
    else if (arriving.bytes > settings.queue.maxArrivingBytes) stop(overloaded(exchange, gateway));
    else chunks.push(chunk);
  };
  const leave = () => {
    request.off("data", onData);
    clearTimeout(late);
    arriving.bytes -= size;
    size = 0;
  };
  const stop = (error: ApiError) => {
    leave();
    chunks.length = 0;
    // The rest is read and thrown away, so that the client gets to read the answer.
    request.resume();
    reject(error);
  };
  request.on("data", onData);
  request.once("end", () => {
    leave();
    resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
  });
  const onClose = () => {
    leave();
    if (!request.complete) reject(new ApiError("invalid_request"));
  };
  request.once("close", onClose);
  // The client may have left while its key was looked up.
  if (request.closed) onClose();
  return promise;
}

function overloaded(exchange: Exchange, { metrics }: Gateway): ApiError {
  metrics.queueRefused.inc({ model: NO_MODEL, tier: rankOf(exchange), reason: "arriving" });
  return new ApiError("model_overloaded");
}
