import type { Quota } from "./limiter.ts";

/** Seconds as OpenAI's headers write them: `20ms`, `1s`, `7.66s`, `6m0s`, `1h0m3s`. */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.ceil(seconds * 1000));
  if (total > 0 && total < 1000) return `${total}ms`;
  const hours = Math.floor(total / 3_600_000);
  const minutes = Math.floor(total / 60_000) % 60;
  const rest = `${(total % 60_000) / 1000}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}

interface Quotas {
  readonly requests: Quota | undefined;
  readonly tokens: Quota | undefined;
}

/** The x-ratelimit headers as OpenAI documents them, names and values in turn. */
export function rateLimitHeaders({ requests, tokens }: Quotas): string[] {
  return [...headersOf("requests", requests), ...headersOf("tokens", tokens)];
}

function headersOf(what: "requests" | "tokens", quota: Quota | undefined): string[] {
  if (!quota) return [];
  return [
    `x-ratelimit-limit-${what}`,
    String(quota.limit),
    `x-ratelimit-remaining-${what}`,
    String(quota.remaining),
    `x-ratelimit-reset-${what}`,
    formatDuration(quota.resetSeconds),
  ];
}
