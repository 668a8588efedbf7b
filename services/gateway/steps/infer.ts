import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import type { ApiError } from "../api/errors.ts";
import { usage } from "../api/schemas.ts";
import { REQUEST_ID_HEADER } from "../contract.ts";
import type { Answer, Exchange, Gateway } from "../exchange.ts";
import { type AnswerHead, UpstreamAnswer } from "../upstream/answer.ts";
import type { UpstreamRequest } from "../upstream/call.ts";
import { EventStream } from "../upstream/event-stream.ts";
import { ClientLeft, type FailureReason, UpstreamFailure } from "../upstream/failure.ts";
import { toOutcome } from "../upstream/outcome.ts";
import type { Replica } from "../upstream/replica.ts";
import { toUpstreamBody, type UsageAbility, wantsUsage } from "../upstream/request-body.ts";
import { validated } from "./validate.ts";

// Replicas run vLLM, which can tell the usage so far in every chunk.
const REPLICA: UsageAbility = { continuousUsage: true };
const answerWithUsage = z.looseObject({ usage: usage.nullish().catch(undefined) });

/**
 * Asks the replica, and another one if that one could not be reached. The answer must be complete, or a stream must
 * have begun, before the deadline; the work at the replica ends with it, and as soon as the client leaves.
 */
export async function infer(exchange: Exchange, gateway: Gateway): Promise<void> {
  const { requestTimeoutSeconds } = gateway.config;
  const late = () => exchange.cancel(new UpstreamFailure("timeout", "the deadline has passed"));
  const deadline = setTimeout(late, requestTimeoutSeconds * 1000);
  const left = () => {
    if (exchange.abandoned) exchange.cancel(new ClientLeft());
  };
  exchange.response.once("close", left);
  if (exchange.response.closed) left();
  try {
    const place = enter(exchange, gateway);
    if (place !== undefined) await place;
    const { upstream, head } = await reach(exchange, gateway);
    exchange.answer = await read(exchange, upstream, head);
  } catch (error) {
    if (!(error instanceof UpstreamFailure)) throw error;
    count(exchange, gateway, error);
    throw error.toApiError();
  } finally {
    clearTimeout(deadline);
    // A stream keeps its place until it has ended.
    if (exchange.answer?.kind !== "stream") exchange.leaveModel();
  }
}

/** Gets a place at the model, and waits for it if need be. */
function enter(exchange: Exchange, { queue }: Gateway): undefined | Promise<void> {
  const { model } = exchange;
  if (!model) throw new Error("route must come before infer");
  const place = queue.admit(exchange, model);
  if (place instanceof Promise) {
    return place.then((release) => {
      exchange.place = release;
      // Others have come and gone since the choice was made.
      exchange.replica = model.pick(new Set());
    });
  }
  exchange.place = place;
  return undefined;
}

interface Reached {
  readonly upstream: UpstreamAnswer;
  readonly head: AnswerHead;
}

/** Gets the head of an answer, from the next replica if one refuses or drops the connection before it answers. */
async function reach(exchange: Exchange, gateway: Gateway): Promise<Reached> {
  const request = toUpstreamRequest(exchange);
  const tried = new Set<Replica>();
  for (;;) {
    const outcome = await ask(exchange, request);
    if (!(outcome instanceof UpstreamFailure)) return outcome;
    const next = nextReplica(exchange, outcome, tried);
    if (!next) throw outcome;
    count(exchange, gateway, outcome);
    exchange.replica = next;
  }
}

async function ask(exchange: Exchange, request: UpstreamRequest): Promise<Reached | UpstreamFailure> {
  if (exchange.cancelled) return exchange.cancelled;
  const upstream = new UpstreamAnswer(routed(exchange), request);
  exchange.upstream = upstream;
  const head = await upstream.start();
  return head instanceof UpstreamFailure ? head : { upstream, head };
}

function nextReplica(
  exchange: Exchange,
  { reason }: UpstreamFailure,
  tried: Set<Replica>,
): Replica | undefined {
  const replica = routed(exchange);
  tried.add(replica);
  if (reason === "refused") replica.markDown();
  return reason === "refused" || reason === "reset" ? exchange.model?.pick(tried) : undefined;
}

function routed({ replica }: Exchange): Replica {
  if (!replica) throw new Error("route must come before infer");
  return replica;
}

function count(exchange: Exchange, { metrics }: Gateway, failure: UpstreamFailure): void {
  exchange.failure = failure;
  if (failure.reason === "cancelled") return;
  metrics.upstreamFailures.inc({ model: exchange.model?.name ?? "", reason: failure.reason });
}

function toUpstreamRequest(exchange: Exchange): UpstreamRequest {
  const headers = { "content-type": "application/json", [REQUEST_ID_HEADER]: exchange.upstreamId };
  return {
    path: exchange.endpoint,
    headers,
    body: toUpstreamBody(exchange.body, validated(exchange), REPLICA),
  };
}

async function read(exchange: Exchange, upstream: UpstreamAnswer, head: AnswerHead): Promise<Answer> {
  if (head.status !== 200) {
    const { error, failure } = toOutcome(head.status, head.headers, await upstream.whole());
    if (failure) throw new RefusedByReplica(failure, `status ${head.status}`, error);
    throw error;
  }
  return exchange.streamed ? readStream(exchange, upstream, head.headers) : readJson(exchange, upstream);
}

/** A replica's own error: counted by its reason, answered as the status table says. */
class RefusedByReplica extends UpstreamFailure {
  readonly #error: ApiError;

  constructor(reason: FailureReason, message: string, error: ApiError) {
    super(reason, message);
    this.#error = error;
  }

  override toApiError(): ApiError {
    return this.#error;
  }
}

async function readJson(exchange: Exchange, upstream: UpstreamAnswer): Promise<Answer> {
  const body = (await upstream.whole()).toString();
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw new UpstreamFailure("protocol", "the answer is no JSON");
  }
  const answer = answerWithUsage.safeParse(parsed);
  if (!answer.success) throw new UpstreamFailure("protocol", "the answer is no JSON object");
  exchange.usage = answer.data.usage ?? undefined;
  return { kind: "json", status: 200, body };
}

async function readStream(
  exchange: Exchange,
  upstream: UpstreamAnswer,
  headers: IncomingHttpHeaders,
): Promise<Answer> {
  if (!headers["content-type"]?.startsWith("text/event-stream")) {
    const failure = new UpstreamFailure("protocol", "the answer is no event stream");
    upstream.cancel(failure);
    throw failure;
  }
  const stream = new EventStream(upstream, wantsUsage(validated(exchange)));
  const end = await stream.first();
  if (end?.failure && end.error)
    throw new RefusedByReplica(end.failure.reason, end.failure.message, end.error);
  return { kind: "stream", stream };
}
