import { ApiError } from "../api/errors.ts";
import { FALLBACK_HEADER } from "../contract.ts";
import type { Answer, Exchange, Gateway } from "../exchange.ts";
import { degrade } from "../resilience/degraded.ts";
import { askModel } from "../resilience/tries.ts";
import { ClientLeft, StreamTooLong, UpstreamFailure } from "../upstream/failure.ts";
import type { Model } from "../upstream/models.ts";
import type { Route } from "./route.ts";

/**
 * Gets the answer from the models of the route, in turn. The answer must be complete, or a stream must have begun,
 * before the deadline; the work at the backend ends with it, and as soon as the client leaves.
 */
export async function infer(exchange: Exchange, gateway: Gateway): Promise<void> {
  const { response, startedAt } = exchange;
  exchange.deadlineAt = startedAt + deadlineMs(exchange, gateway);
  const late = () => exchange.cancel(new UpstreamFailure("timeout", "the deadline has passed"));
  let timer = setTimeout(late, Math.max(1, exchange.deadlineAt - performance.now()));
  const left = () => {
    clearTimeout(timer);
    if (exchange.abandoned) exchange.cancel(new ClientLeft());
  };
  response.once("close", left);
  if (response.closed) left();
  try {
    exchange.answer = await answerOf(exchange, gateway);
  } finally {
    clearTimeout(timer);
    // A stream keeps its place until it has ended.
    if (exchange.answer?.kind !== "stream") exchange.leaveModel();
  }
  if (exchange.answer.kind !== "stream" || response.closed) return;
  const lastsMs = gateway.settings.resilience.maxStreamSeconds * 1000;
  const tooLong = () => {
    exchange.cancel(new StreamTooLong());
    // Its model has said all; the client takes too long to read it.
    if (response.writableEnded) response.destroy();
  };
  timer = setTimeout(tooLong, Math.max(1, startedAt + lastsMs - performance.now()));
}

function deadlineMs({ model }: Exchange, { config, settings }: Gateway): number {
  const seconds =
    model?.entry?.deadlineSeconds ?? settings.resilience.deadlineSeconds ?? config.requestTimeoutSeconds;
  return seconds * 1000;
}

/** The first model's answer, or a fallback's, or what its settings say instead. */
async function answerOf(exchange: Exchange, gateway: Gateway): Promise<Answer> {
  const route = routed(exchange);
  const { models } = route;
  const [first] = models;
  if (!first) throw new Error("a route must hold a model");
  // Not the first where nobody may ask it for this request.
  const requested = exchange.model ?? first;
  exchange.model = first;
  const result = await askModel(exchange, gateway, { route, model: first });
  if (!(result instanceof UpstreamFailure)) {
    noteFallback(exchange, gateway, requested);
    return result;
  }
  for (const model of models) {
    if (model === first) continue;
    exchange.leaveModel();
    const answer = await fallBack(exchange, gateway, model);
    if (exchange.cancelled) break;
    if (!answer) continue;
    exchange.failure = undefined;
    noteFallback(exchange, gateway, requested);
    return answer;
  }
  exchange.model = requested;
  return instead(exchange, exchange.cancelled ?? result);
}

/** What the settings of the model that was asked for say instead of an answer. */
function instead(exchange: Exchange, failure: UpstreamFailure): Answer {
  exchange.failure = failure;
  const error = failure.toApiError();
  const { degraded } = exchange.model?.entry ?? {};
  if (degraded && failure.reason !== "cancelled") return degrade(exchange, degraded, error);
  throw error;
}

function noteFallback({ headers, model }: Exchange, { metrics }: Gateway, requested: Model): void {
  if (!model || model === requested) return;
  const { name: to } = model;
  headers.push(FALLBACK_HEADER, to);
  metrics.fallbacks.inc({ model: requested.name, to });
}

/** A fallback's answer; undefined where it has none either. What it finds wrong with a request may be right elsewhere. */
async function fallBack(exchange: Exchange, gateway: Gateway, model: Model): Promise<Answer | undefined> {
  exchange.model = model;
  try {
    const result = await askModel(exchange, gateway, { route: routed(exchange), model });
    return result instanceof UpstreamFailure ? undefined : result;
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

function routed({ route }: Exchange): Route {
  if (!route) throw new Error("route must come before infer");
  return route;
}
