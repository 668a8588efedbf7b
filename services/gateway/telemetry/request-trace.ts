import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { Exchange } from "../exchange.ts";
import { ATTRIBUTES, FIRST_TOKEN, OWN_ATTRIBUTES, operationOf } from "./semantics.ts";
import { type TraceParent, toTraceparent } from "./traceparent.ts";

/** What is told of a backend. */
export interface AskedBackend {
  /** Names it within its model; no address. */
  readonly id: string;
  readonly external: boolean;
}

// What runs on replicas of our own.
const OWN_PROVIDER = "vllm";

/** How the whole request ended. */
export interface TraceEnd {
  readonly status: number;
  readonly model: string;
  /** By our fault. */
  readonly failed: boolean;
  /** Keyed hash. */
  readonly user: string | undefined;
  readonly content: { readonly input: string; readonly output: string | undefined } | undefined;
}

/** The spans of one request that is traced: itself, its steps, and the attempts at backends. */
export class RequestTrace {
  readonly #tracer: Tracer;
  readonly #root: Span;
  readonly #context: Context;
  readonly #operation: string | undefined;
  #step: Span | undefined;
  #stepContext: Context;
  #attempt: Span | undefined;

  constructor(tracer: Tracer, exchange: Exchange, parent: TraceParent | undefined) {
    const { endpoint, request, startedAt } = exchange;
    this.#tracer = tracer;
    this.#operation = operationOf(endpoint);
    const attributes: Attributes = {
      [ATTRIBUTES.method]: request.method ?? "",
      [ATTRIBUTES.route]: endpoint,
      ...(this.#operation === undefined ? {} : { [ATTRIBUTES.operation]: this.#operation }),
    };
    const options = { kind: SpanKind.SERVER, startTime: startedAt, attributes };
    this.#root = tracer.startSpan(`${request.method} ${endpoint}`, options, contextOf(parent));
    this.#context = trace.setSpan(ROOT_CONTEXT, this.#root);
    this.#stepContext = this.#context;
  }

  get traceId(): string {
    return this.#root.spanContext().traceId;
  }

  /** A step begins. */
  enter(name: string): void {
    this.#step = this.#tracer.startSpan(name, {}, this.#context);
    this.#stepContext = trace.setSpan(this.#context, this.#step);
  }

  /** The step has ended; with an error where it decided on one. */
  leave(errorType?: string): void {
    if (errorType !== undefined) this.#step?.setAttribute(ATTRIBUTES.errorType, errorType);
    this.#step?.end();
    this.#step = undefined;
    this.#stepContext = this.#context;
  }

  /** The request has waited for a place at its model until now. */
  waited(since: number): void {
    this.#tracer.startSpan("queue", { startTime: since }, this.#stepContext).end();
  }

  /** A backend is about to be asked. Gives the header that tells it of its span. */
  attempt(model: string, { id, external }: AskedBackend): string {
    this.attempted(undefined);
    const attributes: Attributes = {
      [ATTRIBUTES.requestModel]: model,
      [ATTRIBUTES.provider]: external ? id : OWN_PROVIDER,
      [OWN_ATTRIBUTES.backend]: id,
    };
    if (this.#operation !== undefined) attributes[ATTRIBUTES.operation] = this.#operation;
    const name = `${this.#operation ?? "ask"} ${model}`;
    const span = this.#tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, this.#stepContext);
    this.#attempt = span;
    const { traceId, spanId } = span.spanContext();
    return toTraceparent({ traceId, spanId, sampled: true });
  }

  /** The attempt has ended; with the reason where it failed. */
  attempted(reason: string | undefined): void {
    if (reason !== undefined) fail(this.#attempt, reason);
    this.#attempt?.end();
    this.#attempt = undefined;
  }

  /** Everything is done: nothing may be told of it after this. */
  finish(exchange: Exchange, end: TraceEnd): void {
    const { abandoned, error, failure, firstEventAt, usage } = exchange;
    const errorType = abandoned ? "client_left" : error?.errorName;
    if (firstEventAt !== undefined) this.#attempt?.addEvent(FIRST_TOKEN, {}, firstEventAt);
    this.attempted(failure?.reason);
    this.leave();
    this.#root.setAttributes({ ...attributesOf(exchange, end), [ATTRIBUTES.status]: end.status });
    if (usage) {
      this.#root.setAttribute(ATTRIBUTES.inputTokens, usage.prompt_tokens);
      this.#root.setAttribute(ATTRIBUTES.outputTokens, usage.completion_tokens);
    }
    if (errorType !== undefined) this.#root.setAttribute(ATTRIBUTES.errorType, errorType);
    if (end.failed) this.#root.setStatus({ code: SpanStatusCode.ERROR });
    this.#root.end();
  }
}

function attributesOf(
  { backend, bill, id, principal, queuedMs }: Exchange,
  { model, user, content }: TraceEnd,
): Attributes {
  const attributes: Attributes = {
    [OWN_ATTRIBUTES.requestId]: id,
    [ATTRIBUTES.requestModel]: model,
    [ATTRIBUTES.responseModel]: model,
  };
  if (backend) attributes[ATTRIBUTES.provider] = backend.external ? backend.id : OWN_PROVIDER;
  if (principal) {
    attributes[OWN_ATTRIBUTES.tenant] = principal.tenant.id;
    attributes[OWN_ATTRIBUTES.project] = principal.project;
    attributes[OWN_ATTRIBUTES.keyId] = principal.keyId;
  }
  if (bill && bill.cachedPromptTokens > 0) attributes[OWN_ATTRIBUTES.cachedTokens] = bill.cachedPromptTokens;
  if (queuedMs !== undefined) attributes[OWN_ATTRIBUTES.waitedMs] = Math.round(queuedMs);
  if (user !== undefined) attributes[ATTRIBUTES.userId] = user;
  if (content) {
    attributes[ATTRIBUTES.inputMessages] = content.input;
    if (content.output !== undefined) attributes[ATTRIBUTES.outputMessages] = content.output;
  }
  return attributes;
}

function fail(span: Span | undefined, errorType: string): void {
  span?.setAttribute(ATTRIBUTES.errorType, errorType);
  span?.setStatus({ code: SpanStatusCode.ERROR });
}

function contextOf(parent: TraceParent | undefined): Context {
  if (!parent) return ROOT_CONTEXT;
  const { traceId, spanId } = parent;
  // The decision is made: the span's own sampler must not make another one.
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: 1, isRemote: true });
}
