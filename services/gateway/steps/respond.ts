import type { ApiError } from "../api/errors.ts";
import type { Answer, Exchange, Gateway } from "../exchange.ts";
import type { EventStream } from "../upstream/event-stream.ts";

/** Sends the answer. */
export function respond(exchange: Exchange, gateway: Gateway): void {
  const { answer, response } = exchange;
  if (response.closed) return;
  if (!answer) throw new Error("a step before respond must give an answer");
  if (gateway.draining) response.setHeader("connection", "close");
  if (answer.kind === "error") sendError(exchange, answer.error);
  else if (answer.kind === "json") sendJson(exchange, answer);
  else sendStream(exchange, gateway, answer.stream);
}

function sendJson({ response }: Exchange, { status, body }: Extract<Answer, { kind: "json" }>): void {
  // As one string, head and body leave in one write.
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

function sendError(exchange: Exchange, error: ApiError): void {
  exchange.error = error;
  const body = error.toBody();
  exchange.response.writeHead(error.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...error.toHeaders(),
  });
  exchange.response.end(body);
}

function sendStream(exchange: Exchange, gateway: Gateway, stream: EventStream): void {
  const { response } = exchange;
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    // Proxies that buffer would hold tokens back.
    "x-accel-buffering": "no",
  });
  exchange.firstEventAt = performance.now();
  stream.pipe(response, gateway.config.streamIdleTimeoutSeconds * 1000, ({ failure, error }) => {
    exchange.usage = stream.filter.usage;
    exchange.error = error;
    exchange.failure = failure;
    if (!failure || failure.reason === "cancelled") return;
    gateway.metrics.upstreamFailures.inc({ model: exchange.model?.name ?? "", reason: failure.reason });
  });
}
