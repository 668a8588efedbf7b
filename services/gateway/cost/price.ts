import type { CostSettings, ModelPrice } from "./settings.ts";

const PICO_PER_NANO = 1_000;
const SECONDS_PER_HOUR = 3_600;
// The columns of the ledger hold no more; an engine that tells more is wrong.
const MAX_TOKENS = 2_147_483_647;

/** Billionths of a US dollar in one. */
export const NANO_PER_USD = 1e9;

/** Tokens as they are billed. */
export interface BilledTokens {
  /** All of the prompt, cached ones included. */
  readonly promptTokens: number;
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
}

/** Trillionths of a US dollar for one token: whole numbers, so that sums are exact. */
export interface Price {
  readonly prompt: number;
  readonly cachedPrompt: number;
  readonly completion: number;
}

/** What a price in settings comes to for one token. A USD per million tokens is a millionth of a USD per token. */
export function toPrice({ selfHosted, promptUsd = 0, ...rest }: ModelPrice): Price {
  if (!selfHosted) {
    const { cachedPromptUsd = promptUsd, completionUsd = 0 } = rest;
    return {
      prompt: toPico(promptUsd),
      cachedPrompt: toPico(cachedPromptUsd),
      completion: toPico(completionUsd),
    };
  }
  const { nodeHourUsd, nodes, tokensPerSecond, completionWeight, cachedWeight } = selfHosted;
  const usdPerMillion = ((nodeHourUsd * nodes) / SECONDS_PER_HOUR / tokensPerSecond) * 1e6;
  return {
    prompt: toPico(usdPerMillion),
    cachedPrompt: toPico(usdPerMillion * cachedWeight),
    completion: toPico(usdPerMillion * completionWeight),
  };
}

function toPico(usdPerMillion: number): number {
  return Math.round(usdPerMillion * 1e6);
}

/** Billionths of a US dollar, rounded once, half up. */
export function costOf(tokens: BilledTokens, price: Price): number {
  const { promptTokens, cachedPromptTokens, completionTokens } = tokens;
  const cached = Math.min(cachedPromptTokens, promptTokens);
  const pico =
    (promptTokens - cached) * price.prompt +
    cached * price.cachedPrompt +
    completionTokens * price.completion;
  return Math.round(pico / PICO_PER_NANO);
}

/** A number of tokens as a backend told it. */
export function toTokens(told: unknown): number {
  return typeof told === "number" && told > 0 ? Math.min(Math.trunc(told), MAX_TOKENS) : 0;
}

/** The prices of all models. */
export type PriceTable = ReadonlyMap<string, Price>;

const tables = new WeakMap<CostSettings, PriceTable>();

/** Worked out once for each version of the settings. */
export function priceTable(settings: CostSettings): PriceTable {
  const known = tables.get(settings);
  if (known) return known;
  const table = new Map(Object.entries(settings.prices).map(([model, given]) => [model, toPrice(given)]));
  tables.set(settings, table);
  return table;
}

/** The currency and the tax of one tenant's reports. */
export interface Billing {
  /** ISO 4217. */
  readonly currency: string;
  /** Units of the currency for one USD. */
  readonly perUsd: number;
  readonly taxPercent: number;
}

/** @param tenant undefined for a report over all of them */
export function billingOf(settings: CostSettings, tenant: string | undefined): Billing {
  const own = tenant !== undefined && Object.hasOwn(settings.tenants, tenant) ? settings.tenants[tenant] : {};
  const { code, perUsd } = own?.currency ?? settings.currency;
  return { currency: code, perUsd, taxPercent: own?.taxPercent ?? settings.taxPercent };
}
