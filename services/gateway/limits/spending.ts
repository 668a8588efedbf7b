import { HOUR_MS, NONE, type Seed, type Spending, type TenantBounds } from "./batch.ts";

/** What one period's budget has gone to. */
class Period {
  spent = 0;
  reserved = 0;
  #number = NONE;
  #alerted = false;

  /** Begins anew when another period runs. */
  advance(number: number): void {
    if (number === this.#number) return;
    this.#number = number;
    this.spent = 0;
    this.reserved = 0;
    this.#alerted = false;
  }

  /** Whether 80 % of the limit have just been spent, for the first time in this period. */
  alerts(limit: number): boolean {
    if (limit < 0 || this.#alerted || this.spent * 5 < limit * 4) return false;
    this.#alerted = true;
    return true;
  }
}

interface SettledSpending {
  /** Milliseconds since 1970 when it was reserved. */
  readonly at: number;
  readonly nowMs: number;
  readonly reserved: number;
  readonly spent: number;
}

/** What one tenant has spent and reserved of its budgets, in memory; the script keeps the same in a hash. */
export class BudgetUse {
  readonly hour = new Period();
  readonly day = new Period();
  seeded = false;

  advance(nowMs: number): void {
    const hour = Math.floor(nowMs / HOUR_MS);
    this.hour.advance(hour);
    this.day.advance(Math.floor(hour / 24));
  }

  /** Takes over what the ledger says, which may hold what was spent here meanwhile. */
  seed({ hour, hourNanoUsd, dayNanoUsd }: Seed, nowMs: number): void {
    const now = Math.floor(nowMs / HOUR_MS);
    if (hour === now) this.hour.spent = Math.max(this.hour.spent, hourNanoUsd);
    if (Math.floor(hour / 24) === Math.floor(now / 24)) this.day.spent = Math.max(this.day.spent, dayNanoUsd);
    this.seeded = true;
  }

  reserve(nanoUsd: number): void {
    this.hour.reserved += nanoUsd;
    this.day.reserved += nanoUsd;
  }

  /** Milliseconds until so much more would be within the budgets; 0 when it is. */
  wait(nanoUsd: number, bounds: TenantBounds, nowMs: number): number {
    const hour = Math.floor(nowMs / HOUR_MS);
    const day = Math.floor(hour / 24);
    const exceeds = ({ spent, reserved }: Period, limit: number) =>
      limit >= 0 && spent + reserved + nanoUsd > limit;
    if (exceeds(this.day, bounds.dayNanoUsd)) return (day + 1) * 24 * HOUR_MS - nowMs;
    return exceeds(this.hour, bounds.hourNanoUsd) ? (hour + 1) * HOUR_MS - nowMs : 0;
  }

  /** Only the periods in which it was reserved change. */
  settle({ at, nowMs, reserved, spent }: SettledSpending): void {
    const [then, now] = [Math.floor(at / HOUR_MS), Math.floor(nowMs / HOUR_MS)];
    const apply = (period: Period) => {
      period.reserved = Math.max(0, period.reserved - reserved);
      period.spent += spent;
    };
    if (then === now) apply(this.hour);
    if (Math.floor(then / 24) === Math.floor(now / 24)) apply(this.day);
  }

  get figures(): Spending {
    return {
      hourSpent: this.hour.spent,
      hourReserved: this.hour.reserved,
      daySpent: this.day.spent,
      dayReserved: this.day.reserved,
    };
  }
}
