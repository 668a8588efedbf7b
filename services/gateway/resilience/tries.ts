import { ApiError } from "../api/errors.ts";
import type { Answer, Exchange, Gateway } from "../exchange.ts";
import type { Route } from "../steps/route.ts";
import { validated } from "../steps/validate.ts";
import { attempt } from "../upstream/attempt.ts";
import type { Backend } from "../upstream/backend.ts";
import { Unavailable, UpstreamFailure } from "../upstream/failure.ts";
import type { Model } from "../upstream/models.ts";
import { backoffMs } from "./backoff.ts";
import { blame, breakerRule, praise } from "./verdict.ts";

/** Where the tries of one request stand, for one model. */
interface Tries {
  readonly exchange: Exchange;
  readonly gateway: Gateway;
  readonly route: Route;
  readonly model: Model;
  /** Backends that have failed since the last wait, or would fail again. */
  tried: Set<Backend> | undefined;
  /** Backends whose breaker this request was counted by. */
  blamed: Set<Backend> | undefined;
  failures: number;
}

/**
 * Asks a model: another backend at once when one fails, and when all have failed, again after a wait. As often as the
 * settings say, as long as the deadline and the backends' budgets for repetitions allow.
 * @throws {ApiError} when the request is at fault
 */
export async function askModel(
  exchange: Exchange,
  gateway: Gateway,
  { route, model }: { readonly route: Route; readonly model: Model },
): Promise<Answer | UpstreamFailure> {
  const { retry } = gateway.settings.resilience;
  const entered = enter(exchange, gateway, { route, model });
  const first = entered instanceof Promise ? await entered : entered;
  if (first instanceof UpstreamFailure) return first;
  first.retries.deposit(retry.budgetShare, retry.budgetBurst);
  const tries: Tries = { exchange, gateway, route, model, tried: undefined, blamed: undefined, failures: 0 };
  let backend: Backend = first;
  for (;;) {
    const result = await askBackend(tries, backend);
    if (!(result instanceof UpstreamFailure)) return result;
    tries.failures += 1;
    count(tries, result);
    const again = tries.failures < retry.tries && result.retry !== "nowhere" && !exchange.cancelled;
    const next: Backend | undefined = again ? await nextBackend(tries, backend, result) : undefined;
    if (!next) return exchange.cancelled ?? result;
    gateway.metrics.retries.inc({ model: model.name, reason: result.reason });
    backend = next;
  }
}

/** Gets a place at the model, and waits for it if need be; and who is asked there first. */
function enter(
  exchange: Exchange,
  { queue }: Gateway,
  { route, model }: Pick<Tries, "route" | "model">,
): Backend | UpstreamFailure | Promise<Backend | UpstreamFailure> {
  const backend = model.pick(route);
  if (!backend) return unavailable(model);
  const refusal = backend.refuses(validated(exchange), exchange.endpoint);
  if (refusal) throw refusal;
  const place = queue.admit(exchange, model);
  if (!(place instanceof Promise)) {
    exchange.place = place;
    return backend;
  }
  return place.then(
    (release) => {
      exchange.place = release;
      // Others have come and gone since the choice was made.
      return model.pick(route) ?? unavailable(model);
    },
    (error: unknown) => {
      if (error instanceof UpstreamFailure) return error;
      throw error;
    },
  );
}

async function askBackend(tries: Tries, backend: Backend): Promise<Answer | UpstreamFailure> {
  const { exchange, gateway, model } = tries;
  if (exchange.cancelled) return exchange.cancelled;
  exchange.backend = backend;
  const rule = breakerRule(gateway.settings.resilience);
  const sent = { at: performance.now(), probe: backend.breaker.enter(), streamed: exchange.streamed };
  const { timeoutSeconds } = model.entry ?? {};
  try {
    const result = await attempt(
      exchange,
      backend,
      timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
    );
    if (!(result instanceof UpstreamFailure)) praise(backend, rule, result);
    // One request counts once, however often it was tried: otherwise a single bad one could open a breaker.
    else if (blame(backend, rule, { failure: result, sent, again: tries.blamed?.has(backend) === true })) {
      tries.blamed ??= new Set();
      tries.blamed.add(backend);
    }
    return result;
  } catch (error) {
    // A backend that finds fault with the request works.
    if (error instanceof ApiError) backend.breaker.succeeded();
    else backend.breaker.left(sent.probe);
    throw error;
  }
}

/** Who is asked next, after the wait that it may take; undefined where nobody is. */
async function nextBackend(
  tries: Tries,
  last: Backend,
  failure: UpstreamFailure,
): Promise<Backend | undefined> {
  const { exchange, gateway, model, route } = tries;
  const { retry } = gateway.settings.resilience;
  tries.tried ??= new Set();
  tries.tried.add(last);
  const other = model.pick(route, tries.tried);
  if (other) return affordable(other, failure, retry.budgetBurst) ? other : undefined;
  if (failure.retry === "elsewhere") return undefined;
  const ms = backoffMs({ baseMs: retry.baseSeconds * 1000, maxMs: retry.maxSeconds * 1000 }, tries.failures, {
    retryAfterMs: failure.retryAfterMs,
    random: Math.random(),
  });
  if (performance.now() + ms >= exchange.deadlineAt) return undefined;
  if (!affordable(last, failure, retry.budgetBurst)) return undefined;
  await wait(exchange, ms);
  tries.tried.clear();
  return exchange.cancelled ? undefined : model.pick(route);
}

/** A backend that was never reached had no work with the request, so that asking again costs nobody anything. */
function affordable({ retries }: Backend, { reason }: UpstreamFailure, burst: number): boolean {
  return reason === "refused" || retries.withdraw(burst);
}

/** Waits, unless the request ends before. */
async function wait(exchange: Exchange, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  exchange.wake = resolve;
  if (exchange.cancelled) resolve();
  await promise;
  exchange.wake = undefined;
  clearTimeout(timer);
}

function unavailable({ replicas }: Model): Unavailable {
  const now = performance.now();
  return new Unavailable(Math.min(...replicas.map(({ breaker }) => breaker.waitMs(now))));
}

function count({ exchange, gateway, model }: Tries, failure: UpstreamFailure): void {
  exchange.failure = failure;
  exchange.trace?.attempted(failure.reason);
  if (failure.reason === "cancelled") return;
  gateway.metrics.upstreamFailures.inc({ model: model.name, reason: failure.reason });
}
