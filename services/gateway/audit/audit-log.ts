import { type Kysely, sql } from "kysely";
import pg from "pg";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Database } from "../state/database.ts";
import type { Tables } from "../state/tables.ts";
import { type AuditEntry, isRefusal } from "./entry.ts";

const FLUSH_MS = 500;
/** Refusals alike of so long become one entry: a flood of wrong keys must not become a flood of rows. */
const GATHER_MS = 5_000;
const MAX_BATCH = 1_000;
/** About 5 MB; the database may be away for a while. */
const MAX_WAITING = 10_000;

/** Writes accesses to the database, in the background and in batches. What does not fit while it is away is counted. */
export class AuditLog {
  readonly #database: Database;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  readonly #refusals = new Map<string, AuditEntry>();
  #waiting: AuditEntry[] = [];
  #gatheredAt = performance.now();
  #writing: Promise<void> | undefined;

  constructor(database: Database, { metrics, log }: { readonly metrics: Metrics; readonly log: Log }) {
    this.#database = database;
    this.#metrics = metrics;
    this.#log = log;
    this.#timer = setInterval(() => void this.#flush(), FLUSH_MS);
    this.#timer.unref();
  }

  note(entry: AuditEntry): void {
    if (isRefusal(entry.status)) this.#noteRefusal(entry);
    else this.#add(entry);
  }

  /** Writes what can be written. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    this.#gather();
    await this.#write();
  }

  #noteRefusal(entry: AuditEntry): void {
    const alike = `${entry.status} ${entry.tenant} ${entry.key} ${entry.action} ${entry.endpoint}`;
    const before = this.#refusals.get(alike);
    if (before) this.#refusals.set(alike, { ...before, count: before.count + entry.count });
    else if (this.#refusals.size < MAX_WAITING) this.#refusals.set(alike, entry);
    else this.#metrics.auditLost.inc({});
  }

  #add(entry: AuditEntry): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(entry);
    else this.#metrics.auditLost.inc({}, entry.count);
  }

  #gather(): void {
    this.#gatheredAt = performance.now();
    for (const entry of this.#refusals.values()) this.#add(entry);
    this.#refusals.clear();
  }

  #flush(): Promise<void> {
    if (performance.now() - this.#gatheredAt >= GATHER_MS) this.#gather();
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, MAX_BATCH);
      try {
        await this.#database.use((db) => insert(db, batch));
      } catch (error) {
        // It is tried again; an entry that was written nevertheless is not written twice.
        // The watch over the database tells when that is away.
        if (error instanceof pg.DatabaseError) this.#log.warn({ event: "audit_refused", code: error.code });
        return;
      }
      this.#waiting = this.#waiting.slice(batch.length);
    }
  }
}

async function insert(db: Kysely<Tables>, entries: readonly AuditEntry[]): Promise<void> {
  const rows = entries.map(({ at, key, requestId, ...entry }) => ({
    ...entry,
    at: new Date(at),
    key_id: key,
    request_id: requestId,
  }));
  await sql`
    insert into audit_log
      (id, at, tenant, project, key_id, action, target, endpoint, status, request_id, release, count)
    select id, at, tenant, project, key_id, action, target, endpoint, status, request_id, release, count
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as entry (id text, at timestamptz, tenant text,
      project text, key_id text, action text, target text, endpoint text, status integer, request_id text,
      release text, count integer)
    on conflict (id) do nothing`.execute(db);
}
