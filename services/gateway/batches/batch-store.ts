import type { Envelope } from "../content/envelope.ts";
import type { Storage } from "./database.ts";
import type { Author, Page } from "./file-store.ts";
import { newBatchId } from "./ids.ts";

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

/** Why a batch failed: what is wrong with its input, or why it could not go on. */
export interface BatchProblem {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  /** Line of the input file, from 1. */
  readonly line: number | null;
}

export interface StoredBatch {
  readonly id: string;
  readonly tenant: string;
  readonly endpoint: string;
  readonly inputFileId: string;
  readonly completionWindow: string;
  readonly status: BatchStatus;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  readonly errors: readonly BatchProblem[] | undefined;
  readonly outputFileId: string | undefined;
  readonly errorFileId: string | undefined;
  readonly counts: { readonly total: number; readonly completed: number; readonly failed: number };
  /** Seconds since 1970 by the name of the moment, as in OpenAI's object. */
  readonly times: Readonly<Record<string, number | null>>;
}

export interface NewBatch {
  readonly author: Author;
  /** SHA-256 of the API key that makes it; undefined for a token. */
  readonly credential: string | undefined;
  /** Whom a token stood for, since nobody can ask for it again; undefined for an API key. */
  readonly principal: object | undefined;
  readonly endpoint: string;
  readonly inputFileId: string;
  readonly completionWindow: string;
  readonly windowSeconds: number;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  /** Seconds that its output is kept. @default as long as any file */
  readonly outputSeconds: number | undefined;
}

interface BatchRow {
  id: string;
  tenant: string;
  endpoint: string;
  input_file_id: string;
  completion_window: string;
  status: BatchStatus;
  metadata: Record<string, string> | null;
  errors: BatchProblem[] | null;
  output_file_id: string | null;
  error_file_id: string | null;
  total: number;
  completed: number;
  failed: number;
  times: Record<string, number | null>;
}

const TIMES = [
  "created_at",
  "in_progress_at",
  "expires_at",
  "finalizing_at",
  "completed_at",
  "failed_at",
  "expired_at",
  "cancelling_at",
  "cancelled_at",
];
const COLUMNS = `id, tenant, endpoint, input_file_id, completion_window, status, metadata, errors,
  output_file_id, error_file_id, total, completed, failed,
  json_build_object(${TIMES.map((name) => `'${name}', floor(extract(epoch from ${name}))`).join(", ")}) as times`;

/** Batches of all tenants, as clients see them. Every access names the tenant: another's batches do not exist. */
export class BatchStore {
  readonly #storage: Storage;
  readonly #envelope: Envelope;

  constructor(storage: Storage, envelope: Envelope) {
    this.#storage = storage;
    this.#envelope = envelope;
  }

  /** Undefined when the tenant has as many unfinished batches as it may have. */
  async create(batch: NewBatch, maxBatches: number): Promise<StoredBatch | undefined> {
    const id = newBatchId();
    const { tenant, project, keyId } = batch.author;
    const { wrapped } = await this.#envelope.create({ tenant, object: id });
    const [row] = await this.#storage.query<BatchRow>(
      `insert into gateway_batch (id, tenant, project, key_id, endpoint, input_file_id, completion_window,
         metadata, status, content_key_id, data_key, output_seconds, expires_at, credential, principal)
       select $2, $1, $3, $4, $5, $6, $7, $8, 'validating', $9, $10, $11,
         clock_timestamp() + make_interval(secs => $12), $14, $15
       where (select count(*) from gateway_batch where tenant = $1 and not finished) < $13
       returning ${COLUMNS}`,
      [
        tenant,
        id,
        project,
        keyId,
        batch.endpoint,
        batch.inputFileId,
        batch.completionWindow,
        batch.metadata === undefined ? null : JSON.stringify(batch.metadata),
        wrapped.keyId,
        wrapped.ciphertext,
        batch.outputSeconds ?? null,
        batch.windowSeconds,
        maxBatches,
        batch.credential ?? null,
        batch.principal === undefined ? null : JSON.stringify(batch.principal),
      ],
    );
    return row && toBatch(row);
  }

  async find(tenant: string, id: string): Promise<StoredBatch | undefined> {
    const [row] = await this.#storage.query<BatchRow>(
      `select ${COLUMNS} from gateway_batch where tenant = $1 and id = $2`,
      [tenant, id],
    );
    return row && toBatch(row);
  }

  async list(tenant: string, { limit, ascending, after }: Page): Promise<StoredBatch[]> {
    const direction = ascending ? "asc" : "desc";
    const rows = await this.#storage.query<BatchRow>(
      `select ${COLUMNS} from gateway_batch where tenant = $1
         and ($2::text is null or (created_at, id) ${ascending ? ">" : "<"}
           (select created_at, id from gateway_batch where tenant = $1 and id = $2))
       order by created_at ${direction}, id ${direction} limit $3`,
      [tenant, after ?? null, limit],
    );
    return rows.map(toBatch);
  }

  /** Begins to cancel it; its answers so far are kept. Undefined for one that is not there or already at its end. */
  async cancel(tenant: string, id: string): Promise<StoredBatch | undefined> {
    const [row] = await this.#storage.query<BatchRow>(
      `update gateway_batch set status = 'cancelling', cancelling_at = clock_timestamp(), outcome = 'cancelled'
       where tenant = $1 and id = $2 and outcome is null and status in ('validating', 'in_progress')
       returning ${COLUMNS}`,
      [tenant, id],
    );
    return row && toBatch(row);
  }
}

function toBatch(row: BatchRow): StoredBatch {
  return {
    id: row.id,
    tenant: row.tenant,
    endpoint: row.endpoint,
    inputFileId: row.input_file_id,
    completionWindow: row.completion_window,
    status: row.status,
    metadata: row.metadata ?? undefined,
    errors: row.errors ?? undefined,
    outputFileId: row.output_file_id ?? undefined,
    errorFileId: row.error_file_id ?? undefined,
    counts: { total: row.total, completed: row.completed, failed: row.failed },
    times: row.times,
  };
}
