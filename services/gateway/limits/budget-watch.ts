import { LRUCache } from "lru-cache";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Tenant } from "../tenancy/principal.ts";
import {
  type Decision,
  HOUR_MS,
  isBudgeted,
  NONE,
  type Spending,
  shareOf,
  type TenantBounds,
  tenantBounds,
} from "./batch.ts";

const MAX_TENANTS = 10_000;

interface Known {
  readonly tenant: Tenant;
  readonly hour: number;
  readonly spending: Spending;
}

/** Tells of budgets as they are used up, and remembers how far for the time when the store is away. */
export class BudgetWatch {
  readonly #log: Log;
  readonly #known = new LRUCache<string, Known>({ max: MAX_TENANTS });

  constructor({
    metrics,
    log,
  }: { readonly metrics: Pick<Metrics, "budgetUsed" | "tenantLabel">; readonly log: Log }) {
    this.#log = log;
    metrics.budgetUsed.readFrom((set) => {
      for (const { tenant, ...known } of this.#known.values()) {
        const label = metrics.tenantLabel(tenant.id);
        for (const [period, share] of sharesOf(tenantBounds(tenant), known))
          set({ tenant: label, period }, share);
      }
    });
  }

  observe(tenant: Tenant, { nowMs, spending, alertHour, alertDay }: Decision): void {
    const bounds = tenantBounds(tenant);
    if (!isBudgeted(bounds)) return;
    this.#known.set(tenant.id, { tenant, hour: Math.floor(nowMs / HOUR_MS), spending });
    if (alertHour) this.#alert(tenant, "hour", spending.hourSpent, bounds.hourNanoUsd);
    if (alertDay) this.#alert(tenant, "day", spending.daySpent, bounds.dayNanoUsd);
  }

  /** This gateway's part of the bounds; of budgets, of what is left of them as far as that is known. */
  shareOf(tenant: Tenant, gateways: number): TenantBounds {
    const bounds = tenantBounds(tenant);
    const share = shareOf(bounds, gateways);
    if (!isBudgeted(bounds)) return share;
    const known = this.#known.get(tenant.id);
    const { sameHour, sameDay } = whenKnown(known?.hour);
    const { hourSpent, hourReserved, daySpent, dayReserved } = known?.spending ?? NOTHING;
    const left = (bound: number, used: number) =>
      bound < 0 ? NONE : Math.max(0, Math.floor((bound - used) / gateways));
    return {
      ...share,
      hourNanoUsd: left(bounds.hourNanoUsd, sameHour ? hourSpent + hourReserved : 0),
      dayNanoUsd: left(bounds.dayNanoUsd, sameDay ? daySpent + dayReserved : 0),
    };
  }

  #alert(tenant: Tenant, period: string, spent: number, limit: number): void {
    const share = Math.round((spent / limit) * 1000) / 1000;
    this.#log.warn(
      { event: "budget_alert", tenant: tenant.id, period, share },
      "a budget is used up to 80 % or more",
    );
  }
}

/** What share of each budget is spent, by its period; nothing of a period that is over. */
function sharesOf(
  { hourNanoUsd, dayNanoUsd }: TenantBounds,
  { hour, spending }: Pick<Known, "hour" | "spending">,
): [period: string, share: number][] {
  const { sameHour, sameDay } = whenKnown(hour);
  const shares: [string, number][] = [];
  if (hourNanoUsd > 0) shares.push(["hour", sameHour ? spending.hourSpent / hourNanoUsd : 0]);
  if (dayNanoUsd > 0) shares.push(["day", sameDay ? spending.daySpent / dayNanoUsd : 0]);
  return shares;
}

/** Whether what was known in that hour since 1970 is still of this hour, and of this day. */
function whenKnown(hour: number | undefined): { sameHour: boolean; sameDay: boolean } {
  const now = Math.floor(Date.now() / HOUR_MS);
  const sameDay = hour !== undefined && Math.floor(hour / 24) === Math.floor(now / 24);
  return { sameHour: hour === now, sameDay };
}

const NOTHING: Spending = { hourSpent: 0, hourReserved: 0, daySpent: 0, dayReserved: 0 };
