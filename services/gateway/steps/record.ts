import { NO_MODEL, NO_TENANT, UNKNOWN_MODEL } from "../contract.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { ClientLeft } from "../upstream/failure.ts";
import { settleUsage } from "./settle.ts";

const CLIENT_LEFT = 499;

/** Counts and logs the exchange once its answer is complete or its client has left. Nothing personal is recorded. */
export function record(exchange: Exchange, gateway: Gateway): void {
  const { response } = exchange;
  if (response.closed) settle(exchange, gateway);
  else response.once("close", () => settle(exchange, gateway));
}

function settle(exchange: Exchange, gateway: Gateway): void {
  gateway.exchanges.delete(exchange);
  exchange.leaveModel();
  const seconds = (performance.now() - exchange.startedAt) / 1000;
  const status = exchange.abandoned ? CLIENT_LEFT : exchange.response.statusCode;
  settleUsage(exchange, gateway, status);
  const model = exchange.model?.name ?? (exchange.unknownModel ? UNKNOWN_MODEL : NO_MODEL);
  const result = { seconds, status, model, failed: failureOf(exchange, status) };
  count(exchange, gateway, result);
  log(exchange, gateway, result);
}

interface Result {
  readonly seconds: number;
  readonly status: number;
  readonly model: string;
  readonly failed: "status" | "stream" | undefined;
}

function count(exchange: Exchange, { metrics }: Gateway, { seconds, status, model, failed }: Result): void {
  const { endpoint, usage, firstEventAt } = exchange;
  const probe = String(exchange.isProbe);
  const tenant = exchange.principal?.tenant.id ?? NO_TENANT;
  metrics.requests.inc({ model, endpoint, status, tenant, probe });
  if (failed) metrics.failures.inc({ model, endpoint, reason: failed, probe });
  const status_class = `${Math.floor(status / 100)}xx`;
  const stream = String(exchange.streamed);
  metrics.duration.observe({ model, endpoint, stream, status_class, probe }, seconds);
  if (firstEventAt !== undefined) {
    const untilFirst = (firstEventAt - exchange.startedAt) / 1000;
    metrics.timeToFirstToken.observe({ model, endpoint, probe }, untilFirst);
    if (usage && usage.completion_tokens > 1) {
      const perToken = (seconds - untilFirst) / (usage.completion_tokens - 1);
      metrics.timePerOutputToken.observe({ model, endpoint, probe }, perToken);
    }
  }
  if (usage) {
    metrics.tokens.inc({ model, tenant, type: "prompt" }, usage.prompt_tokens);
    metrics.tokens.inc({ model, tenant, type: "completion" }, usage.completion_tokens);
  }
}

/** How the answer failed by our fault; a client that left or sent a wrong request is none of it. */
function failureOf(exchange: Exchange, status: number): Result["failed"] {
  const { answer, abandoned, error, failure, cancelled } = exchange;
  if (exchange.degraded) return "status";
  if (answer?.kind !== "stream") return status >= 500 ? "status" : undefined;
  // A whole stream can still be cut on its way to the client.
  const cause = failure ?? (abandoned ? cancelled : undefined);
  if (!cause || cause instanceof ClientLeft) return undefined;
  return error === undefined || error.status >= 500 ? "stream" : undefined;
}

function log(exchange: Exchange, gateway: Gateway, { seconds, status, model, failed }: Result): void {
  const { firstEventAt, startedAt, usage } = exchange;
  gateway.log.info(
    {
      event: "request",
      requestId: exchange.id,
      tenant: exchange.principal?.tenant.id,
      keyId: exchange.principal?.keyId,
      endpoint: exchange.endpoint,
      model,
      stream: exchange.streamed,
      status,
      failed,
      error: exchange.abandoned ? undefined : exchange.error?.errorName,
      // For operators; no text that a client or an engine wrote.
      upstream: exchange.failure && `${exchange.failure.reason}: ${exchange.failure.message}`,
      latencyMs: Math.round(seconds * 1000),
      ttftMs: firstEventAt === undefined ? undefined : Math.round(firstEventAt - startedAt),
      promptTokens: usage?.prompt_tokens,
      completionTokens: usage?.completion_tokens,
    },
    "request",
  );
}
