import type { Kysely } from "kysely";
import type { Tables } from "../state/tables.ts";
import { type BilledTokens, NANO_PER_USD } from "./price.ts";
import { DAY_MS, type ReportQuery, type ReportRow, readCosts } from "./report.ts";
import type { CostSettings, ModelPrice } from "./settings.ts";

const HOUR_MS = 3_600_000;

/** What the nodes of one model cost in a period, who used them, and what nobody used. */
export interface NodeCosts {
  readonly model: string;
  /** USD of all nodes for all hours of the period so far, whether they worked or not. */
  readonly nodeUsd: number;
  /** Of it, what the requests were charged. */
  readonly attributedUsd: number;
  /** Of it, what nobody was charged: the nodes had nothing to do. */
  readonly idleUsd: number;
  /** Each tenant's share of the tokens, and of the whole price of the nodes by that share. */
  readonly tenants: readonly {
    readonly tenant: string;
    readonly tokenShare: number;
    readonly nodeUsd: number;
  }[];
}

type SelfHosted = NonNullable<ModelPrice["selfHosted"]>;

/** Milliseconds of the period that are over. */
export function elapsedMs({ from, to }: Pick<ReportQuery, "from" | "to">, now: number): number {
  const start = Date.parse(from);
  return Math.max(0, Math.min(Date.parse(to) + DAY_MS, now) - start);
}

/** What the nodes of one model cost, split by the tokens of its tenants. */
export function nodeCosts(model: string, price: SelfHosted, used: Used): NodeCosts {
  const nodeUsd = (used.elapsedMs / HOUR_MS) * price.nodeHourUsd * price.nodes;
  const attributedUsd = used.rows.reduce((sum, { nanoUsd }) => sum + nanoUsd, 0) / NANO_PER_USD;
  const weights = used.rows.map((row) => weightOf(row, price));
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  const tenants = used.rows.map(({ tenant = "" }, index) => {
    const tokenShare = all === 0 ? 0 : (weights[index] ?? 0) / all;
    return { tenant, tokenShare, nodeUsd: tokenShare * nodeUsd };
  });
  return { model, nodeUsd, attributedUsd, idleUsd: Math.max(0, nodeUsd - attributedUsd), tenants };
}

// Shares are of the whole: none may be missing.
const MAX_ROWS = 1_000_000;

interface Used {
  readonly elapsedMs: number;
  /** By tenant. */
  readonly rows: readonly ReportRow[];
}

function weightOf(tokens: BilledTokens, { completionWeight, cachedWeight }: SelfHosted): number {
  const { promptTokens, cachedPromptTokens, completionTokens } = tokens;
  return promptTokens - cachedPromptTokens * (1 - cachedWeight) + completionTokens * completionWeight;
}

/** The node time of all models on own machines, over all tenants. */
export async function reportNodes(
  db: Kysely<Tables>,
  query: ReportQuery,
  settings: CostSettings,
): Promise<readonly NodeCosts[]> {
  const rows = await readCosts(db, { ...query, tenant: undefined, by: ["backend", "tenant"] }, MAX_ROWS);
  const elapsed = elapsedMs(query, Date.now());
  return Object.entries(settings.prices).flatMap(([model, { selfHosted }]) => {
    const own = rows.filter(({ backend }) => backend === model);
    return selfHosted ? [nodeCosts(model, selfHosted, { elapsedMs: elapsed, rows: own })] : [];
  });
}
