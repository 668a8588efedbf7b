import type { UsageDailyTable, UsageHourlyTable, UsageTable } from "../cost/tables.ts";

/** The tables that the gateway reads and writes, as the migrations make them. */
export interface Tables {
  usage: UsageTable;
  usage_daily: UsageDailyTable;
  usage_hourly: UsageHourlyTable;
}
