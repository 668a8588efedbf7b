import type { Envelope } from "../content/envelope.ts";
import type { Storage } from "./database.ts";

const NOW = "clock_timestamp()";
// A file that nobody has written to for so long belongs to a gateway or a client that is gone.
const ABANDONED = "interval '15 minutes'";
const BATCH = 200;
const CHUNKS = 64;
const KEYS = 50;

interface KeyRow {
  id: string;
  tenant: string;
  content_key_id: string;
  data_key: Buffer;
}

/** Removes what is over, a little at a time: no statement of it takes long, and several gateways may do it at once. */
export class SweepStore {
  readonly #storage: Storage;
  readonly #envelope: Envelope;

  constructor(storage: Storage, envelope: Envelope) {
    this.#storage = storage;
    this.#envelope = envelope;
  }

  /** Marks files whose time is over, and those that were never finished, as deleted. */
  async expire(): Promise<void> {
    await this.#storage.query(
      `update gateway_file set state = 'deleted'
       where state = 'ready' and expires_at <= ${NOW} or state = 'writing' and touched_at < ${NOW} - ${ABANDONED}`,
    );
  }

  /** Removes chunks of deleted files, then the files. Whether there may be more. */
  async removeFiles(): Promise<boolean> {
    const chunks = await this.#storage.query(
      `delete from gateway_file_chunk where (file_id, number) in (
         select file_id, number from gateway_file_chunk join gateway_file as file on file.id = file_id
         where file.state = 'deleted' limit ${CHUNKS}) returning number`,
    );
    if (chunks.length > 0) return true;
    const files = await this.#storage.query(
      `delete from gateway_file where id in (
         select id from gateway_file as file where state = 'deleted'
           and not exists (select 1 from gateway_file_chunk where file_id = file.id) limit ${BATCH}) returning id`,
    );
    return files.length === BATCH;
  }

  /** Removes lines of batches that are finished: their results stand in files. Whether there may be more. */
  async removeLines(): Promise<boolean> {
    const lines = await this.#storage.query(
      `delete from gateway_batch_line where (batch_id, number) in (
         select batch_id, number from gateway_batch_line join gateway_batch as batch on batch.id = batch_id
         where batch.finished and not batch.swept limit ${BATCH}) returning number`,
    );
    if (lines.length > 0) return true;
    await this.#storage.query(
      `update gateway_batch as batch set swept = true where finished and not swept
         and not exists (select 1 from gateway_batch_line where batch_id = batch.id)`,
    );
    return false;
  }

  /** Forgets batches that were made so many days ago and are finished. */
  async removeBatches(days: number): Promise<void> {
    await this.#storage.query(
      `delete from gateway_batch where finished and swept and created_at < ${NOW} - make_interval(days => $1)`,
      [days],
    );
  }

  /**
   * Wraps data keys with the current content key that another one wrapped. How many it was; each that cannot be
   * unwrapped is told.
   */
  async rewrap(onError: (error: unknown) => void): Promise<number> {
    let count = 0;
    for (const table of ["gateway_file", "gateway_batch"]) {
      const rows = await this.#storage.query<KeyRow>(
        `select id, tenant, content_key_id, data_key from ${table} where content_key_id <> $1 limit ${KEYS}`,
        [this.#envelope.currentKeyId],
      );
      for (const row of rows) {
        const isDone = await this.#rewrapOne(table, row).catch(onError);
        if (isDone === true) count += 1;
      }
    }
    return count;
  }

  async #rewrapOne(table: string, { id, tenant, content_key_id, data_key }: KeyRow): Promise<boolean> {
    const old = { keyId: content_key_id, ciphertext: data_key };
    const { keyId, ciphertext } = await this.#envelope.rewrap(old, { tenant, object: id });
    const rows = await this.#storage.query(
      `update ${table} set content_key_id = $3, data_key = $4 where id = $1 and content_key_id = $2 returning id`,
      [id, content_key_id, keyId, ciphertext],
    );
    return rows.length > 0;
  }
}
