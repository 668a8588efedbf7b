import type { IncomingHttpHeaders } from "node:http";
import { usage } from "../api/schemas.ts";
import { REQUEST_ID_HEADER } from "../contract.ts";
import { estimateCompletionTokens } from "../cost/estimate.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { validated } from "../steps/validate.ts";
import { TRACEPARENT_HEADER } from "../telemetry/traceparent.ts";
import { type AnswerHead, isEventStream, UpstreamAnswer } from "./answer.ts";
import type { Backend } from "./backend.ts";
import { EventStream } from "./event-stream.ts";
import { BackendError, UpstreamFailure } from "./failure.ts";
import { withModel } from "./model-name.ts";
import { toOutcome } from "./outcome.ts";
import { toUpstreamBody, wantsUsage } from "./request-body.ts";

/**
 * Asks one backend once: until its answer is whole, or a stream has begun.
 * @param timeoutMs milliseconds that this may take; undefined where only the request's deadline bounds it
 * @throws {ApiError} when the request is at fault
 */
export async function attempt(
  exchange: Exchange,
  backend: Backend,
  timeoutMs: number | undefined,
): Promise<Answer | UpstreamFailure> {
  const request = validated(exchange);
  const upstream = new UpstreamAnswer(backend, {
    path: exchange.endpoint,
    headers: headersFor(exchange, backend),
    body: toUpstreamBody(exchange.body, request, backend),
    request,
  });
  exchange.upstream = upstream;
  const late = () => upstream.cancel(new UpstreamFailure("timeout", "the try took too long"));
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
  try {
    const head = await upstream.start();
    if (head instanceof UpstreamFailure) return head;
    return await read(exchange, upstream, head);
  } catch (error) {
    if (error instanceof UpstreamFailure) return error;
    // Whatever it was: nobody reads the rest of the answer.
    upstream.cancel(new UpstreamFailure("protocol", "the answer is given up"));
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function headersFor(exchange: Exchange, backend: Backend): Record<string, string> {
  const headers = { "content-type": "application/json", [REQUEST_ID_HEADER]: exchange.upstreamId };
  exchange.attempts += 1;
  const { trace } = exchange;
  const traceparent = trace ? trace.attempt(exchange.model?.name ?? "", backend) : exchange.traceparent;
  // Others have no business with our traces.
  if (traceparent === undefined || backend.external) return headers;
  return { ...headers, [TRACEPARENT_HEADER]: traceparent };
}

async function read(exchange: Exchange, upstream: UpstreamAnswer, head: AnswerHead): Promise<Answer> {
  if (head.status === 200) {
    return exchange.streamed ? readStream(exchange, upstream, head.headers) : readJson(exchange, upstream);
  }
  const outcome = toOutcome(head.status, head.headers, await upstream.whole());
  if (outcome.failure) throw new BackendError(outcome, `status ${head.status}`);
  throw outcome.error;
}

async function readJson(exchange: Exchange, upstream: UpstreamAnswer): Promise<Answer> {
  const whole = await upstream.whole();
  const name = exchange.backend?.answersAs;
  const body = name === undefined ? whole : withModel(whole, name);
  const told = objectIn(body);
  exchange.usage = "usage" in told ? usage.safeParse(told.usage).data : undefined;
  exchange.unmeteredTokens = exchange.usage ? undefined : estimateCompletionTokens(told);
  // The bytes go on as they came.
  return { kind: "json", status: 200, body };
}

function objectIn(body: Buffer): object {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString());
  } catch {
    throw new UpstreamFailure("protocol", "the answer is no JSON");
  }
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    throw new UpstreamFailure("protocol", "the answer is no JSON object");
  }
  return answer;
}

async function readStream(
  exchange: Exchange,
  upstream: UpstreamAnswer,
  headers: IncomingHttpHeaders,
): Promise<Answer> {
  if (!isEventStream(headers)) {
    const failure = new UpstreamFailure("protocol", "the answer is no event stream");
    upstream.cancel(failure);
    throw failure;
  }
  const stream = new EventStream(upstream, wantsUsage(validated(exchange)));
  const end = await stream.first();
  if (!end?.failure || !end.error) return { kind: "stream", stream };
  if (stream.filter.error === undefined) throw end.failure;
  // The backend's own words, within the stream instead of by a status.
  const outcome = toOutcome(stream.filter.error.status ?? 500, headers, Buffer.alloc(0));
  if (outcome.failure) throw new BackendError(outcome, end.failure.message);
  throw outcome.error;
}
