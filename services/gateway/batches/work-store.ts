import type { BatchProblem } from "./batch-store.ts";
import type { Storage } from "./database.ts";

export type Outcome = "completed" | "expired" | "cancelled" | "failed";

/** What a worker must know of a batch. */
export interface BatchWork {
  readonly id: string;
  readonly tenant: string;
  readonly project: string;
  readonly keyId: string;
  /** SHA-256 of the API key that made it; null for one that was made with a token. */
  readonly credential: string | null;
  /** What the token said, for a batch that was made with one. */
  readonly principal: unknown;
  readonly endpoint: string;
  readonly inputFileId: string;
  /** Undefined while it runs. */
  readonly outcome: Outcome | undefined;
  readonly wrapped: { readonly keyId: string; readonly ciphertext: Buffer };
  readonly outputSeconds: number | undefined;
  /** Lines that were taken up; 0 for a batch that ended before it was checked. */
  readonly total: number;
}

/** A line that this worker may run, and nobody else until the lease is over. */
export interface ClaimedLine {
  readonly number: number;
  readonly request: Buffer;
  /** How often it was tried before. */
  readonly attempts: number;
}

export interface Claim {
  readonly batch: BatchWork;
  readonly lines: readonly ClaimedLine[];
}

interface WorkRow {
  id: string;
  tenant: string;
  project: string;
  key_id: string;
  credential: string | null;
  principal: unknown;
  endpoint: string;
  input_file_id: string;
  outcome: Outcome | null;
  content_key_id: string;
  data_key: Buffer;
  output_seconds: number | null;
  total: number;
}

const WORK_COLUMNS = [
  "id",
  "tenant",
  "project",
  "key_id",
  "credential",
  "principal",
  "endpoint",
  "input_file_id",
  "outcome",
  "content_key_id",
  "data_key",
  "output_seconds",
  "total",
];
const workColumns = (table: string) => WORK_COLUMNS.map((name) => `${table}.${name}`).join(", ");
const NOW = "clock_timestamp()";
const FREE = `(leased_until is null or leased_until < ${NOW}) and (not_before is null or not_before <= ${NOW})`;

/** What gateways agree on while they share the work. Time is the database's: gateways' clocks may differ. */
export class WorkStore {
  readonly #storage: Storage;
  readonly #owner: string;

  /** @param owner tells this worker from all others */
  constructor(storage: Storage, owner: string) {
    this.#storage = storage;
    this.#owner = owner;
  }

  /** Takes a lease on a batch that is to be checked, or whose results are to be written. */
  async claimBatch(leaseSeconds: number): Promise<BatchWork | undefined> {
    const [row] = await this.#storage.query<WorkRow>(
      `update gateway_batch as b set owner = $1, leased_until = ${NOW} + make_interval(secs => $2)
       where b.id = (
         select id from gateway_batch
         where not finished and (status = 'validating' or outcome is not null) and ${FREE}
         order by created_at limit 1 for update skip locked)
       returning ${workColumns("b")}`,
      [this.#owner, leaseSeconds],
    );
    return row && toWork(row);
  }

  /** Prolongs the lease. False when it is another's by now, or the batch was ended meanwhile. */
  async keepBatch({ id, outcome }: BatchWork, leaseSeconds: number): Promise<boolean> {
    const rows = await this.#storage.query(
      `update gateway_batch set leased_until = ${NOW} + make_interval(secs => $3)
       where id = $1 and owner = $2 and not finished and outcome is not distinct from $4 returning id`,
      [id, this.#owner, leaseSeconds, outcome ?? null],
    );
    return rows.length > 0;
  }

  /** Leaves the batch to others, at once or after some time. */
  async releaseBatch(id: string, delaySeconds = 0): Promise<void> {
    await this.#storage.query(
      `update gateway_batch set owner = null, leased_until = null,
         not_before = ${NOW} + make_interval(secs => $3)
       where id = $1 and owner = $2`,
      [id, this.#owner, delaySeconds],
    );
  }

  /** Adds lines; those that are there already, from a worker that died, stay. */
  async addLines(batchId: string, lines: readonly { number: number; request: Buffer }[]): Promise<void> {
    await this.#storage.query(
      `insert into gateway_batch_line (batch_id, number, state, request)
       select $1, number, 'pending', request from unnest($2::int[], $3::bytea[]) as line (number, request)
       on conflict do nothing`,
      [batchId, lines.map(({ number }) => number), lines.map(({ request }) => request)],
    );
  }

  /** Lets the lines run. */
  async start(id: string, total: number): Promise<void> {
    await this.#storage.query(
      `update gateway_batch set status = 'in_progress', in_progress_at = ${NOW}, total = $3,
         owner = null, leased_until = null
       where id = $1 and owner = $2 and status = 'validating'`,
      [id, this.#owner, total],
    );
  }

  /** Ends a batch whose input cannot be run; its lines, if any, go in the background. */
  async refuse(id: string, problems: readonly BatchProblem[]): Promise<void> {
    await this.#storage.query(
      `update gateway_batch set status = 'failed', failed_at = ${NOW}, errors = $3, finished = true, owner = null
       where id = $1 and owner = $2 and status = 'validating'`,
      [id, this.#owner, JSON.stringify(problems)],
    );
  }

  /** Stops a batch that cannot go on; what is done of it is kept. */
  async stop(id: string, problem: BatchProblem): Promise<void> {
    await this.#storage.query(
      `update gateway_batch set outcome = 'failed', errors = $2, status = 'finalizing', finalizing_at = ${NOW},
         owner = null, leased_until = null
       where id = $1 and outcome is null and not finished`,
      [id, JSON.stringify([problem])],
    );
  }

  /** Begins the end of all batches whose lines are all done, or whose time is over. */
  async end(): Promise<void> {
    await this.#storage.query(
      `update gateway_batch set status = 'finalizing', finalizing_at = ${NOW}, not_before = null,
         owner = null, leased_until = null,
         outcome = case when status = 'in_progress' and completed + failed >= total
           then 'completed' else 'expired' end
       where not finished and outcome is null
         and (status = 'in_progress' and completed + failed >= total or expires_at <= ${NOW})`,
    );
  }

  /**
   * Takes leases on lines: of any tenant's oldest batch that can go on, so that a tenant with many batches gets no more
   * than others. Locks no batch: results are counted there all the time.
   */
  async claimLines(count: number, leaseSeconds: number): Promise<Claim | undefined> {
    const rows = await this.#storage.query<WorkRow & { number: number; request: Buffer; attempts: number }>(
      `with candidate as materialized (
         select id, tenant, created_at from gateway_batch
         where not finished and status = 'in_progress' and outcome is null
           and (not_before is null or not_before <= ${NOW})
           and exists (select 1 from gateway_batch_line
             where batch_id = gateway_batch.id and state = 'pending' and ${FREE})),
       chosen as (select tenant from candidate group by tenant order by random() limit 1),
       batch as materialized (
         select * from gateway_batch where id = (
           select id from candidate where tenant = (select tenant from chosen) order by created_at limit 1)),
       free as (
         select batch_id, number from gateway_batch_line
         where batch_id = (select id from batch) and state = 'pending' and ${FREE}
         order by number limit $2 for update skip locked),
       leased as (
         update gateway_batch_line as line
         set owner = $1, leased_until = ${NOW} + make_interval(secs => $3)
         from free where line.batch_id = free.batch_id and line.number = free.number
         returning line.batch_id, line.number, line.request, line.attempts)
       select ${workColumns("batch")}, leased.number, leased.request, leased.attempts
       from leased join batch on batch.id = leased.batch_id order by leased.number`,
      [this.#owner, count, leaseSeconds],
    );
    const [first] = rows;
    return first && { batch: toWork(first), lines: rows.map(toLine) };
  }

  /** Prolongs the leases on all lines that this worker runs. */
  async keepLines(leaseSeconds: number): Promise<void> {
    await this.#storage.query(
      `update gateway_batch_line set leased_until = ${NOW} + make_interval(secs => $2)
       where owner = $1 and state = 'pending'`,
      [this.#owner, leaseSeconds],
    );
  }

  /** Those of the batches that must not go on: cancelled, at their end, or gone. */
  async stopped(ids: readonly string[]): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set();
    const rows = await this.#storage.query<{ id: string }>(
      "select id from gateway_batch where id = any($1::text[]) and status = 'in_progress' and outcome is null",
      [ids],
    );
    const running = new Set(rows.map(({ id }) => id));
    return new Set(ids.filter((id) => !running.has(id)));
  }

  /** Stores a line's result and counts it, unless it has one or the batch has ended. Whether it was stored. */
  async finishLine(batchId: string, number: number, result: { failed: boolean; response: Buffer }) {
    const rows = await this.#storage.query(
      `with batch as (
         select id from gateway_batch where id = $1 and outcome is null and not finished for update),
       done as (
         update gateway_batch_line set state = 'done', failed = $3, response = $4, owner = null
         from batch where batch_id = batch.id and number = $2 and state = 'pending'
         returning failed)
       update gateway_batch as b set
         completed = completed + case when done.failed then 0 else 1 end,
         failed = b.failed + case when done.failed then 1 else 0 end
       from done where b.id = $1 returning b.id`,
      [batchId, number, result.failed, result.response],
    );
    return rows.length > 0;
  }

  /** Gives lines back, to be tried again after some time. @param tried whether that counts as an attempt */
  async releaseLine(
    batchId: string,
    number: number,
    { delaySeconds = 0, tried = false } = {},
  ): Promise<void> {
    await this.#storage.query(
      `update gateway_batch_line set owner = null, leased_until = null,
         not_before = ${NOW} + make_interval(secs => $4), attempts = attempts + $5
       where batch_id = $1 and number = $2 and owner = $3 and state = 'pending'`,
      [batchId, number, this.#owner, delaySeconds, tried ? 1 : 0],
    );
  }

  /** Lets a whole batch wait: what bounds one of its lines bounds them all. */
  async delayBatch(id: string, seconds: number): Promise<void> {
    await this.#storage.query(
      `update gateway_batch set not_before = greatest(not_before, ${NOW} + make_interval(secs => $2)) where id = $1`,
      [id, seconds],
    );
  }

  /** Gives back whatever this worker holds. */
  async releaseAll(): Promise<void> {
    await this.#storage.query(
      `with lines as (
         update gateway_batch_line set owner = null, leased_until = null
         where owner = $1 and state = 'pending' returning number)
       update gateway_batch set owner = null, leased_until = null where owner = $1 and not finished`,
      [this.#owner],
    );
  }

  /** The next lines in order: those that were answered well, or those that failed or were not run. */
  async readLines(batchId: string, { failed, after, limit }: LineRange): Promise<FinishedLine[]> {
    return this.#storage.query<FinishedLine>(
      `select number, request, response from gateway_batch_line
       where batch_id = $1 and number > $2 and coalesce(failed, true) = $4 order by number limit $3`,
      [batchId, after, limit, failed],
    );
  }

  /** Ends a batch for good and shows its files with it. Whether this worker's lease still held. */
  async finish(id: string, { output, errors, failed, keepSeconds }: Results): Promise<boolean> {
    const rows = await this.#storage.query(
      `with ended as (
         update gateway_batch set status = outcome, finished = true, owner = null, leased_until = null,
           output_file_id = $3, error_file_id = $4, failed = $5,
           completed_at = case when outcome = 'completed' then ${NOW} end,
           failed_at = case when outcome = 'failed' then ${NOW} end,
           expired_at = case when outcome = 'expired' then ${NOW} end,
           cancelled_at = case when outcome = 'cancelled' then ${NOW} end
         where id = $1 and owner = $2 and outcome is not null and not finished returning id),
       shown as (
         update gateway_file set state = 'ready', expires_at = ${NOW} + make_interval(secs => $6)
         from ended where gateway_file.id in ($3, $4) and state = 'writing' returning gateway_file.id)
       select id from ended`,
      [id, this.#owner, output ?? null, errors ?? null, failed, keepSeconds],
    );
    return rows.length > 0;
  }
}

/** What became of a batch. */
export interface Results {
  /** Ids of its files; undefined where there is nothing to write into one. */
  readonly output: string | undefined;
  readonly errors: string | undefined;
  /** Lines that failed or were not run. */
  readonly failed: number;
  /** Seconds until the files go. */
  readonly keepSeconds: number;
}

/** Which lines are read. */
export interface LineRange {
  readonly failed: boolean;
  readonly after: number;
  readonly limit: number;
}

/** A line when its batch has ended; without a response where it was not run. */
export interface FinishedLine {
  number: number;
  request: Buffer;
  response: Buffer | null;
}

function toWork(row: WorkRow): BatchWork {
  return {
    id: row.id,
    tenant: row.tenant,
    project: row.project,
    keyId: row.key_id,
    credential: row.credential,
    principal: row.principal,
    endpoint: row.endpoint,
    inputFileId: row.input_file_id,
    outcome: row.outcome ?? undefined,
    wrapped: { keyId: row.content_key_id, ciphertext: row.data_key },
    outputSeconds: row.output_seconds ?? undefined,
    total: row.total,
  };
}

function toLine({ number, request, attempts }: ClaimedLine): ClaimedLine {
  return { number, request, attempts };
}
