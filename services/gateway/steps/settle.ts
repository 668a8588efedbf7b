import { ApiError } from "../api/errors.ts";
import type { Usage } from "../api/schemas.ts";
import { estimatePromptTokens } from "../cost/estimate.ts";
import {
  type BilledTokens,
  costOf,
  NANO_PER_USD,
  type PriceTable,
  priceTable,
  toTokens,
} from "../cost/price.ts";
import type { UsageRecord } from "../cost/usage-record.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { namedUser } from "./flagged.ts";
import type { Route } from "./route.ts";

// Long enough that a ledger that came back has taken a part of the journal.
const FULL_RETRY_SECONDS = 5;
const SUCCESS = 200;

/** Lets a request go on whose cost can be told and kept; where there is no ledger, all do. */
export function openAccount(exchange: Exchange, gateway: Gateway): void {
  const { ledger, settings } = gateway;
  exchange.prices = priceTable(settings.cost);
  const { model, prices, route } = exchange;
  if (!ledger || !route || !model) return;
  if (!prices.has(model.name)) {
    throw new ApiError("unavailable", { message: "This model has no price yet, so that it cannot be used." });
  }
  exchange.route = priced(route, prices);
  if (ledger.isFull(settings.cost.journal)) {
    throw new ApiError("unavailable", { retryAfterSeconds: FULL_RETRY_SECONDS });
  }
}

/** The route without fallbacks whose price is not known. */
function priced(route: Route, prices: PriceTable): Route {
  const { models } = route;
  if (models.every(({ name }) => prices.has(name))) return route;
  return { ...route, models: models.filter(({ name }) => prices.has(name)) };
}

/** What a request that is over has taken. */
export interface Bill extends BilledTokens {
  /** Whether the backend never told the tokens. */
  readonly estimated: boolean;
  /** Billionths of a US dollar. */
  readonly nanoUsd: number;
}

/** Works out what a request has cost, whatever became of it, and keeps that in the ledger. Call it once. */
export function settleUsage(exchange: Exchange, gateway: Gateway, status: number): void {
  const { model, prices, principal } = exchange;
  // Without prices it never came as far as a model.
  if (!model || !principal || !prices || !exchange.upstream) return;
  const { estimated, ...tokens } = tokensOf(exchange);
  const price = prices.get(model.name);
  const bill: Bill = { ...tokens, estimated, nanoUsd: price ? costOf(tokens, price) : 0 };
  exchange.bill = bill;
  const tenant = gateway.metrics.tenantLabel(principal.tenant.id);
  gateway.metrics.cost.inc({ model: model.name, tenant }, bill.nanoUsd / NANO_PER_USD);
  gateway.ledger?.add(toRecord(exchange, gateway, { bill, status, backend: model.name }));
}

interface Told extends BilledTokens {
  readonly estimated: boolean;
}

function tokensOf(exchange: Exchange): Told {
  const { usage, parsed } = exchange;
  if (usage) return told(usage);
  const completionTokens = exchange.unmeteredTokens ?? streamedTokens(exchange);
  if (completionTokens === undefined || !parsed) {
    return { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0, estimated: false };
  }
  return {
    promptTokens: estimatePromptTokens(parsed, exchange.endpoint),
    cachedPromptTokens: 0,
    completionTokens,
    estimated: true,
  };
}

/** About how many tokens a stream has sent; undefined where nothing was sent, or nothing that holds any. */
function streamedTokens({ answer, firstEventAt }: Exchange): number | undefined {
  if (answer?.kind !== "stream" || firstEventAt === undefined) return undefined;
  const { parts } = answer.stream.filter;
  // The first part of a chat names its role and holds no token.
  return parts === 0 ? undefined : parts - 1;
}

function told(usage: Usage & { prompt_tokens_details?: unknown }): Told {
  const { prompt_tokens_details: details } = usage;
  const cached =
    typeof details === "object" && details !== null && "cached_tokens" in details ? details.cached_tokens : 0;
  return {
    promptTokens: toTokens(usage.prompt_tokens),
    cachedPromptTokens: toTokens(cached),
    completionTokens: toTokens(usage.completion_tokens),
    estimated: false,
  };
}

interface Settled {
  readonly bill: Bill;
  readonly status: number;
  readonly backend: string;
}

function toRecord(exchange: Exchange, { config }: Gateway, settled: Settled): UsageRecord {
  const { principal, startedAt, firstEventAt } = exchange;
  const { bill, status, backend } = settled;
  const latencyMs = performance.now() - startedAt;
  const at = Math.round(Date.now() - latencyMs);
  return {
    ...bill,
    // Attempts that failed cost nothing and must not stand in the way of the one that succeeds.
    id: status === SUCCESS && exchange.billedAs ? exchange.billedAs : byTime(exchange.uuid, at),
    at,
    requestId: exchange.id,
    tenant: principal?.tenant.id ?? "",
    project: principal?.project ?? "",
    keyId: principal?.keyId ?? "",
    user: namedUser(exchange),
    model: exchange.parsed?.model ?? "",
    backend,
    release: config.release,
    color: config.color,
    endpoint: exchange.endpoint,
    status,
    stream: exchange.streamed,
    latencyMs,
    firstTokenMs: firstEventAt === undefined ? undefined : firstEventAt - startedAt,
    probe: exchange.isProbe,
  };
}

// A UUID of version 7: ids of about the same time lie together in the ledger's index, however large that grows.
function byTime(random: string, at: number): string {
  const time = at.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`;
}
