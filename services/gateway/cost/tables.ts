/** Each settled request; columns as the migration makes them, of which queries in Kysely's terms need these. */
export interface UsageTable {
  id: string;
  at: Date;
  tenant: string;
  project: string;
  user_id: string | null;
  model: string;
  backend: string;
  release: string;
  prompt_tokens: number;
  cached_prompt_tokens: number;
  completion_tokens: number;
  nano_usd: string;
}

interface Sums {
  /** Whole numbers as text: they may be larger than a number holds exactly. */
  requests: string;
  nano_usd: string;
}

/** Sums by UTC day. */
export interface UsageDailyTable extends Sums {
  day: Date;
  tenant: string;
  project: string;
  model: string;
  backend: string;
  release: string;
  prompt_tokens: string;
  cached_prompt_tokens: string;
  completion_tokens: string;
}

/** Sums by UTC hour, which budgets go by. */
export interface UsageHourlyTable extends Sums {
  hour: Date;
  tenant: string;
}
