import { z } from "zod";

const CURRENCY = /^[A-Z]{3}$/;
const MEBIBYTE = 1_048_576;
// The ledger counts billionths of a dollar; beyond this a request's cost could no longer be counted exactly.
const MAX_USD_PER_MILLION = 10_000;
const DECIMALS = 1e6;

const price = z
  .number({ error: "is no number; give US dollars per million tokens" })
  .min(0, "is below 0; give US dollars per million tokens")
  .max(MAX_USD_PER_MILLION, `is above ${MAX_USD_PER_MILLION}; give US dollars per million tokens`)
  .refine((usd) => Math.abs(usd * DECIMALS - Math.round(usd * DECIMALS)) < 1e-3, {
    error: "has more than 6 decimals; round it",
  });

const amount = z
  .number({ error: "is no number; give one above 0" })
  .positive("is not above 0; give an amount above 0");

const weight = z.number({ error: "is no number; give one from 0 to 100" }).min(0).max(100);

/** What a model on own machines costs: from the price of its nodes and the tokens that they can do. */
const selfHosted = z.strictObject({
  /** USD for one node and hour. */
  nodeHourUsd: amount,
  /** Nodes that serve the model. */
  nodes: amount.default(1),
  /** Prompt tokens that all its nodes together take in one second under full load, if they do nothing else. */
  tokensPerSecond: amount,
  /** Prompt tokens that one generated token costs. @default 4, the ratio in most providers' price lists */
  completionWeight: weight.default(4),
  /** Prompt tokens that one cached prompt token costs. @default 0.1, the ratio in most providers' price lists */
  cachedWeight: weight.default(0.1),
});

/** What others ask for a model, in USD per million tokens; or what it costs on own machines. */
const modelPrice = z
  .strictObject(
    {
      promptUsd: price.optional(),
      /** Of prompt tokens that the backend had in its cache. @default as promptUsd */
      cachedPromptUsd: price.optional(),
      /** @default 0, as for embeddings */
      completionUsd: price.optional(),
      selfHosted: selfHosted.optional(),
    },
    { error: "is no map; give {promptUsd, completionUsd} or {selfHosted: {nodeHourUsd, tokensPerSecond}}" },
  )
  .refine(({ promptUsd, selfHosted }) => (promptUsd === undefined) !== (selfHosted === undefined), {
    error: "has no single price; give either promptUsd, which may be 0, or selfHosted",
  });

const currency = z.strictObject({
  code: z
    .string({ error: "is missing; give a code such as TWD" })
    .regex(CURRENCY, "is no currency; give three capital letters such as TWD"),
  /** Units of the currency for one USD. */
  perUsd: amount,
});

const taxPercent = z
  .number({ error: "is no number; give percent such as 5" })
  .min(0, "is below 0; give percent such as 5")
  .max(100, "is above 100; give percent such as 5");

/** Prices, the currency and tax of reports, and the local journal. */
export const costSettings = z
  .strictObject({
    /** By model, as the gateway names it. With a ledger a model without a price is refused. */
    prices: z.record(z.string(), modelPrice, { error: "is no map; give prices by model" }).default({}),
    /** What reports are in. @default USD */
    currency: currency.default({ code: "USD", perUsd: 1 }),
    /** Tax on top of every amount. @default 0 */
    taxPercent: taxPercent.default(0),
    /** By tenant, where it differs. */
    tenants: z
      .record(
        z.string(),
        z.strictObject({ currency: currency.optional(), taxPercent: taxPercent.optional() }),
        { error: "is no map; give currency and taxPercent by tenant" },
      )
      .default({}),
    /** Days that the ledger keeps each request; daily totals stay. @default 90 */
    keepDays: z
      .int({ error: "is no whole number; give days from 1 to 3660" })
      .min(1, "is below 1; give days from 1 to 3660")
      .max(3_660, "is above 3660; give days from 1 to 3660")
      .default(90),
    journal: z
      .strictObject({
        /** Bytes of settled requests that may wait in the journal's folder. @default 268435456 (256 MiB) */
        maxBytes: z
          .int({ error: "is no whole number; give bytes" })
          .min(MEBIBYTE, "is below 1 MiB; give bytes")
          .default(256 * MEBIBYTE),
        /** Bytes that may wait in memory, where there is no folder or it fails. @default 33554432 (32 MiB) */
        maxMemoryBytes: z
          .int({ error: "is no whole number; give bytes" })
          .min(65_536, "is below 65536; give bytes")
          .default(32 * MEBIBYTE),
      })
      .prefault({}),
  })
  .prefault({});

export type CostSettings = z.infer<typeof costSettings>;
export type ModelPrice = z.infer<typeof modelPrice>;
