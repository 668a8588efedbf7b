import { type Kysely, type RawBuilder, sql } from "kysely";
import { z } from "zod";
import { ApiError } from "../api/errors.ts";
import type { Tables } from "../state/tables.ts";
import { type Billing, billingOf, NANO_PER_USD } from "./price.ts";
import type { CostSettings } from "./settings.ts";

/** What a report can tell apart. Only those of the daily sums reach back beyond `keepDays`; `user` does not. */
export const GROUPS = ["day", "tenant", "project", "model", "backend", "release", "user"] as const;
export type Group = (typeof GROUPS)[number];

export const DAY_MS = 86_400_000;
const MAX_DAYS = 366;
const MAX_ROWS = 10_000;

/** A period, and whose costs. */
export interface ReportQuery {
  /** First and last UTC day, as YYYY-MM-DD. */
  readonly from: string;
  readonly to: string;
  readonly by: readonly Group[];
  /** Undefined for all tenants, which only operators may see. */
  readonly tenant: string | undefined;
}

const day = z.iso.date({ error: "is no day; use YYYY-MM-DD" });

/** The query of a request for a report; the period is the last 30 days unless it says another. */
export const reportQuery = z
  .strictObject({
    from: day.optional(),
    to: day.optional(),
    by: z
      .string()
      .transform((text) => text.split(","))
      .pipe(z.array(z.enum(GROUPS, { error: `is unknown; use some of ${GROUPS.join(", ")}, with commas` })))
      .default(["day", "tenant"]),
    tenant: z.string().max(63, "is too long; use a tenant's id").optional(),
  })
  .transform(({ from, to, ...rest }) => {
    const last = to ?? dayOf(Date.now());
    return { ...rest, from: from ?? dayOf(Date.parse(last) - 29 * DAY_MS), to: last };
  })
  .refine(({ from, to }) => from <= to, { path: ["from"], error: "is after 'to'; swap them" })
  .refine(({ from, to }) => Date.parse(to) - Date.parse(from) < MAX_DAYS * DAY_MS, {
    path: ["from"],
    error: `is more than ${MAX_DAYS} days before 'to'; ask for a shorter period`,
  });

export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

const count = z.number().int().nonnegative();
const money = {
  nanoUsd: z.number().meta({ description: "Billionths of a US dollar." }),
  amount: z.number().meta({ description: "In the report's currency, before tax." }),
  tax: z.number(),
  total: z.number(),
};
const usage = {
  requests: count,
  promptTokens: count,
  cachedPromptTokens: count,
  completionTokens: count,
  ...money,
};

const text = z.string().optional();
const groups = {
  day: text,
  tenant: text,
  project: text,
  model: text,
  backend: text,
  release: text,
  user: text,
};

const selfHosted = z.object({
  model: z.string(),
  /** Of the nodes, whether they work or not. */
  nodeUsd: z.number(),
  /** Of it, what requests paid for. */
  attributedUsd: z.number(),
  idleUsd: z.number(),
  tenants: z.array(z.object({ tenant: z.string(), tokenShare: z.number(), nodeUsd: z.number() })),
});

export const costReport = z
  .object({
    object: z.literal("costs"),
    from: z.string(),
    to: z.string(),
    currency: z.string(),
    perUsd: z.number(),
    taxPercent: z.number(),
    data: z.array(z.object({ ...usage, ...groups })),
    sum: z.object(usage),
    selfHosted: z.array(selfHosted).optional(),
    unpricedModels: z.array(z.string()).optional(),
  })
  .meta({ id: "CostReport" });

/** Sums over some requests. */
export interface Sums {
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
  readonly nanoUsd: number;
}

export type ReportRow = Sums & Partial<Record<Group, string>>;

type Texts = Record<keyof Sums, string> & Partial<Record<Group, string | null>>;

const DAILY: Record<Exclude<Group, "user">, RawBuilder<unknown>> = {
  day: sql`day::text`,
  tenant: sql`tenant`,
  project: sql`project`,
  model: sql`model`,
  backend: sql`backend`,
  release: sql`release`,
};

/**
 * The sums of a period by some groups, the dearest first.
 * @throws {ApiError} when they are more than `maxRows`
 */
export async function readCosts(
  db: Kysely<Tables>,
  query: ReportQuery,
  maxRows = MAX_ROWS,
): Promise<readonly ReportRow[]> {
  const byUser = query.by.includes("user");
  const columns = {
    ...DAILY,
    ...(byUser ? { day: sql`(at at time zone 'UTC')::date::text`, user: sql`user_id` } : {}),
  };
  const groups = [...new Set(query.by)].map((name) => ({
    name,
    column: columns[name as keyof typeof columns],
  }));
  const selected = groups.map(({ name, column }) => sql`${column} as ${sql.ref(name)}, `);
  const grouped =
    groups.length === 0 ? sql`` : sql`group by ${sql.join(groups.map((_, index) => sql.lit(index + 1)))}`;
  const period = byUser
    ? sql`at >= ${query.from}::date::timestamp at time zone 'UTC'
        and at < (${query.to}::date + 1)::timestamp at time zone 'UTC'`
    : sql`day between ${query.from}::date and ${query.to}::date`;
  const whose = query.tenant === undefined ? sql`` : sql`and tenant = ${query.tenant}`;
  const { rows } = await sql<Texts>`
    select ${selected.length === 0 ? sql`` : sql.join(selected, sql``)}
      ${byUser ? sql`count(*)` : sql`coalesce(sum(requests), 0)`}::text as "requests",
      coalesce(sum(prompt_tokens), 0)::text as "promptTokens",
      coalesce(sum(cached_prompt_tokens), 0)::text as "cachedPromptTokens",
      coalesce(sum(completion_tokens), 0)::text as "completionTokens",
      coalesce(sum(nano_usd), 0)::text as "nanoUsd"
    from ${byUser ? sql`usage` : sql`usage_daily`}
    where ${period} ${whose} ${grouped}
    order by sum(nano_usd) desc nulls last
    limit ${maxRows + 1}`.execute(db);
  if (rows.length > maxRows) {
    const message = `The report has more than ${maxRows} rows: ask for fewer groups or a shorter period.`;
    throw new ApiError("invalid_request", { message, param: "by" });
  }
  return rows.map((row) =>
    toRow(
      row,
      groups.map(({ name }) => name),
    ),
  );
}

function toRow(row: Texts, groups: readonly Group[]): ReportRow {
  return {
    ...Object.fromEntries(groups.map((name) => [name, row[name] ?? ""])),
    requests: Number(row.requests),
    promptTokens: Number(row.promptTokens),
    cachedPromptTokens: Number(row.cachedPromptTokens),
    completionTokens: Number(row.completionTokens),
    nanoUsd: Number(row.nanoUsd),
  };
}

/** The sums with what they come to in the report's currency. */
export function billed<T extends Sums>(sums: T, { perUsd, taxPercent }: Billing) {
  const amount = rounded((sums.nanoUsd / NANO_PER_USD) * perUsd);
  const tax = rounded((amount * taxPercent) / 100);
  return { ...sums, amount, tax, total: rounded(amount + tax) };
}

// To a billionth, which is what the ledger counts in.
function rounded(amount: number): number {
  return Math.round(amount * NANO_PER_USD) / NANO_PER_USD;
}

/** A whole report. */
export async function reportCosts(db: Kysely<Tables>, query: ReportQuery, settings: CostSettings) {
  const { from, to, tenant } = query;
  const billing = billingOf(settings, tenant);
  const rows = await readCosts(db, query);
  const [sum] = await readCosts(db, { ...query, by: [] });
  const none = { requests: 0, promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0, nanoUsd: 0 };
  return {
    object: "costs" as const,
    ...{ from, to, ...billing },
    data: rows.map((row) => billed(row, billing)),
    sum: billed(sum ?? none, billing),
  };
}
