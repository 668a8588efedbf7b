import { randomUUID } from "node:crypto";
import type { Exchange, Gateway } from "../exchange.ts";

/** One access, or several refusals alike. No secret, no body, nothing of the person behind the key. */
export interface AuditEntry {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly tenant: string | null;
  readonly project: string | null;
  readonly key: string | null;
  /** `action:resource`; null for callers who were refused before that was clear. */
  readonly action: string | null;
  /** What it was about, by id. */
  readonly target: string | null;
  readonly endpoint: string;
  readonly status: number;
  readonly requestId: string;
  readonly release: string;
  readonly count: number;
}

/** Each access to these is kept; inferences are in the ledger, and lists of models tell nobody anything. */
const KEPT = new Set(["tenants", "projects", "keys", "costs", "audit", "files", "batches", "feedback"]);

/** Whether an access is one of those that were refused for want of a key or of a permission. */
export function isRefusal(status: number): boolean {
  return status === 401 || status === 403;
}

/** The entry of an exchange; undefined for one that the audit log does not keep. */
export function entryOf(exchange: Exchange, { config }: Gateway, status: number): AuditEntry | undefined {
  const { principal, action, target } = exchange;
  const resource = action?.split(":")[1] ?? "";
  if (!isRefusal(status) && !KEPT.has(resource)) return undefined;
  return {
    id: randomUUID(),
    at: Date.now(),
    tenant: principal?.tenant.id ?? null,
    project: principal?.project ?? null,
    key: principal?.keyId ?? null,
    action: action ?? null,
    target: target ?? null,
    endpoint: exchange.endpoint,
    status,
    requestId: exchange.id,
    release: config.release,
    count: 1,
  };
}
