import type { Answer } from "../exchange.ts";
import type { Backend } from "../upstream/backend.ts";
import { BackendError, StreamTooLong, type UpstreamFailure } from "../upstream/failure.ts";
import type { BreakerRule } from "./breaker.ts";
import type { ResilienceSettings } from "./settings.ts";

// A Retry-After is a wish; what asks to be left alone for longer is asked again after a minute.
const MAX_REST_MS = 60_000;

const rules = new WeakMap<ResilienceSettings, BreakerRule>();

export function breakerRule(settings: ResilienceSettings): BreakerRule {
  let rule = rules.get(settings);
  if (!rule) {
    const { failures, openSeconds } = settings.breaker;
    rule = { failures, openMs: openSeconds * 1000 };
    rules.set(settings, rule);
  }
  return rule;
}

/** What an answer says about its backend. A stream has only begun: `judgeStream` says how it ended. */
export function praise(backend: Backend, rule: BreakerRule, answer: Answer): void {
  if (answer.kind === "stream") backend.breaker.began(rule);
  else backend.breaker.succeeded();
}

/** How a try went that failed. */
export interface FailedTry {
  readonly failure: UpstreamFailure;
  readonly sent: {
    /** On the clock of performance.now(). */
    readonly at: number;
    /** Whether it was to find out whether the backend is back. */
    readonly probe: boolean;
    readonly streamed: boolean;
  };
  /** Whether the same request has been counted already. */
  readonly again: boolean;
}

/**
 * What a failure says about its backend. One that has no room works, and is left alone for as long as it asks.
 * @returns whether its breaker counted the failure
 */
export function blame(backend: Backend, rule: BreakerRule, { failure, sent, again }: FailedTry): boolean {
  const { breaker } = backend;
  if (failure.retryAfterMs > 0) backend.markDown(Math.min(failure.retryAfterMs, MAX_REST_MS));
  if (failure.reason === "refused") backend.markDown();
  const counts = isFault(failure) && !(isSlow(failure, sent.streamed) && backend.heardAt >= sent.at);
  if (!counts || (again && !sent.probe)) {
    breaker.left(sent.probe);
    return false;
  }
  breaker.failed(rule, performance.now(), sent.probe);
  return true;
}

/**
 * How a stream ended that had begun.
 * @param unread whether it is the client that did not read
 */
export function judgeStream(
  { breaker }: Backend,
  rule: BreakerRule,
  { failure, unread }: { readonly failure: UpstreamFailure | undefined; readonly unread: boolean },
): void {
  if (!failure) breaker.succeeded();
  else if (isFault(failure) && !unread) breaker.failed(rule, performance.now(), false);
}

function isFault(failure: UpstreamFailure): boolean {
  return (
    failure.reason !== "cancelled" && failure.reason !== "overloaded" && !(failure instanceof StreamTooLong)
  );
}

/**
 * Whether it only took too long. How long a whole answer is, its client decides, so that this counts only if nothing
 * else came from the backend in the meantime: otherwise clients could open breakers for each other.
 */
function isSlow(failure: UpstreamFailure, streamed: boolean): boolean {
  return failure.reason === "timeout" && !(failure instanceof BackendError) && !streamed;
}
