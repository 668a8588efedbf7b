import { NANO_PER_USD } from "../cost/price.ts";
import type { Exchange } from "../exchange.ts";
import type { LineLog, Log } from "../log.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { Outcome } from "./outcome.ts";

// pino spends most of its time on finding out what each field holds. Here that is known: the line is put together from
// parts that are the same for all requests of a key or a model and are written out once.

const INFO = 30;

/** What the log says of a request beside what the exchange holds. */
export interface LogExtra {
  readonly outcome: Outcome;
  /** Keyed hash. */
  readonly user: string | undefined;
}

/** Writes one line of JSON for each request; nothing in it is text that a client or an engine wrote. */
export class RequestLog {
  readonly #log: Log & LineLog;
  readonly #head: string;
  readonly #callers = new WeakMap<Principal, string>();
  readonly #texts = new Map<string, string>();

  /** @param base fields of every line */
  constructor(log: Log & LineLog, base: Readonly<Record<string, string>>) {
    this.#log = log;
    this.#head = `${JSON.stringify({ ...base, event: "request" }).slice(1, -1)},"requestId":"`;
  }

  get enabled(): boolean {
    return this.#log.isLevelEnabled("info");
  }

  write(exchange: Exchange, { outcome, user }: LogExtra): void {
    const { model, status, failed, seconds } = outcome;
    // An id is a plain token, as its step has made sure.
    let line = `{"level":${INFO},"time":${Date.now()},${this.#head}${exchange.id}"`;
    if (exchange.principal) line += this.#callerOf(exchange.principal);
    line += `,"endpoint":${this.#text(exchange.endpoint)},"model":${this.#text(model)}`;
    line += `,"stream":${exchange.streamed},"status":${status},"latencyMs":${Math.round(seconds * 1000)}`;
    if (exchange.backend) {
      line += `,"backend":${JSON.stringify(exchange.backend.id)},"attempts":${exchange.attempts}`;
    }
    line += timesOf(exchange);
    line += usageOf(exchange);
    if (failed) line += `,"failed":"${failed}"`;
    if (exchange.error && !exchange.abandoned) line += `,"error":"${exchange.error.errorName}"`;
    const { failure, trace } = exchange;
    if (failure) line += `,"upstream":${JSON.stringify(`${failure.reason}: ${failure.message}`)}`;
    if (trace) line += `,"traceId":"${trace.traceId}"`;
    if (user !== undefined) line += `,"user":"${user}"`;
    this.#log.writeLine(`${line},"msg":"request"}\n`);
  }

  #callerOf(principal: Principal): string {
    let text = this.#callers.get(principal);
    if (text === undefined) {
      const { tenant, project, keyId, probe } = principal;
      const fields = { tenant: tenant.id, project, keyId, ...(probe ? { probe } : {}) };
      text = `,${JSON.stringify(fields).slice(1, -1)}`;
      this.#callers.set(principal, text);
    }
    return text;
  }

  /** As JSON; only for the names of models and endpoints, of which there are not many. */
  #text(name: string): string {
    let text = this.#texts.get(name);
    if (text === undefined) {
      text = JSON.stringify(name);
      this.#texts.set(name, text);
    }
    return text;
  }
}

function timesOf({ firstEventAt, startedAt, queuedMs }: Exchange): string {
  let text = "";
  if (firstEventAt !== undefined) text += `,"ttftMs":${Math.round(firstEventAt - startedAt)}`;
  if (queuedMs !== undefined) text += `,"queueMs":${Math.round(queuedMs)}`;
  return text;
}

function usageOf({ bill, usage }: Exchange): string {
  let text = "";
  if (usage) text = `,"promptTokens":${usage.prompt_tokens},"completionTokens":${usage.completion_tokens}`;
  if (!bill) return text;
  if (bill.cachedPromptTokens > 0) text += `,"cachedTokens":${bill.cachedPromptTokens}`;
  return bill.nanoUsd > 0 ? `${text},"costUsd":${bill.nanoUsd / NANO_PER_USD}` : text;
}
