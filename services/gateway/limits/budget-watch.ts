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
  readonly hour: number;
  readonly spending: Spending;
}

/** Tells of budgets as they are used up, and remembers how far for the time when the store is away. */
export class BudgetWatch {
  readonly #metrics: Pick<Metrics, "budgetUsed" | "tenantLabel">;
  readonly #log: Log;
  readonly #known = new LRUCache<string, Known>({ max: MAX_TENANTS });

  constructor({
    metrics,
    log,
  }: { readonly metrics: Pick<Metrics, "budgetUsed" | "tenantLabel">; readonly log: Log }) {
    this.#metrics = metrics;
    this.#log = log;
  }

  observe(tenant: Tenant, { nowMs, spending, alertHour, alertDay }: Decision): void {
    const bounds = tenantBounds(tenant);
    if (!isBudgeted(bounds)) return;
    this.#known.set(tenant.id, { hour: Math.floor(nowMs / HOUR_MS), spending });
    this.#show(tenant, "hour", spending.hourSpent, bounds.hourNanoUsd);
    this.#show(tenant, "day", spending.daySpent, bounds.dayNanoUsd);
    if (alertHour) this.#alert(tenant, "hour", spending.hourSpent, bounds.hourNanoUsd);
    if (alertDay) this.#alert(tenant, "day", spending.daySpent, bounds.dayNanoUsd);
  }

  /** This gateway's part of the bounds; of budgets, of what is left of them as far as that is known. */
  shareOf(tenant: Tenant, gateways: number): TenantBounds {
    const bounds = tenantBounds(tenant);
    const share = shareOf(bounds, gateways);
    if (!isBudgeted(bounds)) return share;
    const known = this.#known.get(tenant.id);
    const now = Math.floor(Date.now() / HOUR_MS);
    const sameHour = known?.hour === now;
    const sameDay = known !== undefined && Math.floor(known.hour / 24) === Math.floor(now / 24);
    const { hourSpent, hourReserved, daySpent, dayReserved } = known?.spending ?? NOTHING;
    const left = (bound: number, used: number) =>
      bound < 0 ? NONE : Math.max(0, Math.floor((bound - used) / gateways));
    return {
      ...share,
      hourNanoUsd: left(bounds.hourNanoUsd, sameHour ? hourSpent + hourReserved : 0),
      dayNanoUsd: left(bounds.dayNanoUsd, sameDay ? daySpent + dayReserved : 0),
    };
  }

  #show(tenant: Tenant, period: string, spent: number, limit: number): void {
    if (limit <= 0) return;
    this.#metrics.budgetUsed.set({ tenant: this.#metrics.tenantLabel(tenant.id), period }, spent / limit);
  }

  #alert(tenant: Tenant, period: string, spent: number, limit: number): void {
    const share = Math.round((spent / limit) * 1000) / 1000;
    this.#log.warn(
      { event: "budget_alert", tenant: tenant.id, period, share },
      "a budget is used up to 80 % or more",
    );
  }
}

const NOTHING: Spending = { hourSpent: 0, hourReserved: 0, daySpent: 0, dayReserved: 0 };
