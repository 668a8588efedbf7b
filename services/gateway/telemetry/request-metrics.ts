import { NO_TENANT } from "../contract.ts";
import type { Exchange } from "../exchange.ts";
import type { Metrics } from "../metrics.ts";
import type { Outcome } from "./outcome.ts";

/** Counts a request that is over. */
export function countRequest(exchange: Exchange, metrics: Metrics, outcome: Outcome): void {
  const { endpoint, principal } = exchange;
  const { model, status, seconds, failed } = outcome;
  const probe = exchange.isProbe;
  const tenant = principal ? metrics.tenantLabel(principal.tenant.id) : NO_TENANT;
  countTokens(exchange, metrics, { model, tenant });
  // Nobody waits for these, and what makes them wait is no failure: among clients' requests they would hide what is.
  if (exchange.isBatch) {
    metrics.batchRequests.inc({ model, endpoint, status, tenant });
    return;
  }
  metrics.requests.inc({ model, endpoint, status, tenant, probe });
  if (failed) metrics.failures.inc({ model, endpoint, reason: failed, probe });
  const status_class = `${Math.floor(status / 100)}xx`;
  metrics.duration.observe({ model, endpoint, stream: exchange.streamed, status_class, probe }, seconds);
  countFirstToken(exchange, metrics, outcome);
}

function countTokens(
  { usage, bill }: Exchange,
  metrics: Metrics,
  { model, tenant }: { readonly model: string; readonly tenant: string },
): void {
  if (!usage) return;
  metrics.tokens.inc({ model, tenant, type: "prompt" }, usage.prompt_tokens);
  metrics.tokens.inc({ model, tenant, type: "completion" }, usage.completion_tokens);
  const cached = bill?.cachedPromptTokens ?? 0;
  if (cached > 0) metrics.tokens.inc({ model, tenant, type: "cached" }, cached);
}

function countFirstToken(exchange: Exchange, metrics: Metrics, { model, seconds }: Outcome): void {
  const { endpoint, firstEventAt, isProbe: probe, startedAt, usage } = exchange;
  if (firstEventAt === undefined) return;
  const untilFirst = (firstEventAt - startedAt) / 1000;
  metrics.timeToFirstToken.observe({ model, endpoint, probe }, untilFirst);
  if (!usage || usage.completion_tokens <= 1) return;
  const perToken = (seconds - untilFirst) / (usage.completion_tokens - 1);
  metrics.timePerOutputToken.observe({ model, endpoint, probe }, perToken);
}
