import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ApiError } from "../api/errors.ts";
import type { Answer, Exchange, Gateway } from "../exchange.ts";
import { breakerRule, judgeStream } from "../resilience/verdict.ts";
import type { EventStream, StreamEnd } from "../upstream/event-stream.ts";

// Copying a body into the string that holds the head is cheaper than a second write, up to some size.
const MAX_JOINED_BYTES = 64 * 1024;
const STREAM_HEADERS = [
  "content-type",
  "text/event-stream; charset=utf-8",
  "cache-control",
  "no-cache",
  // Proxies that buffer would hold tokens back.
  "x-accel-buffering",
  "no",
];

/** Sends the answer. */
export function respond(exchange: Exchange, gateway: Gateway): void {
  const { answer, response } = exchange;
  if (response.closed) return;
  if (!answer) throw new Error("a step before respond must give an answer");
  if (answer.kind === "error") sendError(exchange, gateway, answer.error);
  else if (answer.kind === "json") sendJson(exchange, gateway, answer);
  else if (answer.kind === "content") void sendContent(exchange, gateway, answer);
  else sendStream(exchange, gateway, answer.stream);
}

/** Head of an answer; its headers in one list are written without a second look at each. */
function head({ headers, response }: Exchange, gateway: Gateway, status: number, own: string[]): void {
  const closing = gateway.draining ? ["connection", "close"] : [];
  response.writeHead(status, gateway.headers.concat(headers, closing, own));
}

function sendJson(exchange: Exchange, gateway: Gateway, answer: Extract<Answer, { kind: "json" }>): void {
  const { status, body, contentType = "application/json" } = answer;
  const length = String(typeof body === "string" ? Buffer.byteLength(body) : body.length);
  head(exchange, gateway, status, ["content-type", contentType, "content-length", length]);
  if (typeof body === "string") exchange.response.end(body);
  // As a string of the same bytes, it leaves with the head in one write.
  else if (body.length <= MAX_JOINED_BYTES) exchange.response.end(body.toString("latin1"), "latin1");
  else exchange.response.end(body);
  endUnread(exchange, gateway);
}

/**
 * Ends the connection of a client that stops reading before it has all of an answer that is complete: what is counted
 * when the connection is done with it would else never be.
 */
function endUnread({ response }: Exchange, gateway: Gateway): void {
  if (response.writableLength > 0) response.setTimeout(idleMs(gateway));
}

function idleMs({ config }: Gateway): number {
  return config.streamIdleTimeoutSeconds * 1000;
}

async function sendContent(
  exchange: Exchange,
  gateway: Gateway,
  { bytes, first, rest }: Extract<Answer, { kind: "content" }>,
): Promise<void> {
  const { response, id } = exchange;
  const length = String(bytes);
  const own = ["content-type", "application/octet-stream", "content-length", length];
  head(exchange, gateway, 200, own.concat("content-disposition", "attachment"));
  // Its chunks are read as the client reads them: one that stops would hold the next for ever.
  response.setTimeout(idleMs(gateway));
  const content = async function* () {
    yield first;
    yield* rest;
  };
  try {
    // Ends the response with the content, and cuts the connection if the rest of it cannot be read.
    await pipeline(Readable.from(content(), { objectMode: false }), response);
  } catch (err) {
    if (response.closed) return;
    gateway.log.error({ err, requestId: id }, "stored content broke off");
    response.destroy();
  }
}

function sendError(exchange: Exchange, gateway: Gateway, error: ApiError): void {
  exchange.error = error;
  const body = error.toBody();
  const length = String(Buffer.byteLength(body));
  const own = ["content-type", "application/json", "content-length", length];
  head(exchange, gateway, error.status, own.concat(Object.entries(error.toHeaders()).flat()));
  exchange.response.end(body);
}

function sendStream(exchange: Exchange, gateway: Gateway, stream: EventStream): void {
  const { response } = exchange;
  head(exchange, gateway, 200, STREAM_HEADERS);
  exchange.firstEventAt = performance.now();
  stream.pipe(response, idleMs(gateway), ({ failure, error }) => {
    endUnread(exchange, gateway);
    exchange.leaveModel();
    exchange.usage = stream.filter.usage;
    exchange.error = error;
    exchange.failure = failure;
    judge(exchange, gateway, { failure, error });
    if (!failure || failure.reason === "cancelled") return;
    gateway.metrics.upstreamFailures.inc({ model: exchange.model?.name ?? "", reason: failure.reason });
  });
}

/** Tells the backend's breaker. A stream that ends with the client's own mistake is none of the backend's. */
function judge({ backend, response }: Exchange, { settings }: Gateway, { failure, error }: StreamEnd): void {
  if (!backend) return;
  judgeStream(backend, breakerRule(settings.resilience), {
    failure: error && error.status < 500 ? undefined : failure,
    unread: failure?.reason === "timeout" && (response.destroyed || response.writableNeedDrain),
  });
}
