import { type Chunk, toChunks } from "../content/chunks.ts";
import type { Envelope, ObjectKey } from "../content/envelope.ts";
import { ContentError } from "../content/key-wrapper.ts";
import type { Storage } from "./database.ts";
import { newFileId } from "./ids.ts";

/** Who stores something. */
export interface Author {
  readonly tenant: string;
  readonly project: string;
  readonly keyId: string;
}

export interface StoredFile {
  readonly id: string;
  readonly tenant: string;
  readonly purpose: string;
  readonly filename: string;
  readonly bytes: number;
  readonly chunks: number;
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** Seconds since 1970; undefined for never. */
  readonly expiresAt: number | undefined;
}

export interface NewFile {
  readonly author: Author;
  readonly purpose: "batch" | "batch_output";
  readonly filename: string;
}

/** A file that is not complete; nobody sees it until it is. */
export interface OpenFile {
  readonly id: string;
  readonly tenant: string;
  readonly key: ObjectKey;
}

/** The tenant has no room for this file. */
export class QuotaExceeded extends Error {
  readonly because: "bytes" | "files";

  constructor(because: "bytes" | "files") {
    super(`the tenant's ${because} are used up`);
    this.because = because;
  }
}

/** Where a listing goes on, and how. */
export interface Page {
  readonly limit: number;
  readonly ascending: boolean;
  /** The id after which it goes on. */
  readonly after: string | undefined;
}

export interface FileRow {
  id: string;
  tenant: string;
  purpose: string;
  filename: string;
  bytes: number;
  chunks: number;
  created: number;
  expires: number | null;
  content_key_id: string;
  data_key: Buffer;
}

const COLUMNS = `id, tenant, purpose, filename, bytes::float8 as bytes, chunks,
  floor(extract(epoch from created_at))::float8 as created,
  floor(extract(epoch from expires_at))::float8 as expires, content_key_id, data_key`;
const VISIBLE = "state = 'ready' and (expires_at is null or expires_at > clock_timestamp())";
// A file's size counts when it is complete; while it is written, what there is of it does.
const USED = "select coalesce(sum(bytes), 0) from gateway_file where tenant = $1 and state <> 'deleted'";

/** Files of all tenants, encrypted chunk by chunk. Every access names the tenant: another's files do not exist. */
export class FileStore {
  readonly #storage: Storage;
  readonly #envelope: Envelope;

  constructor(storage: Storage, envelope: Envelope) {
    this.#storage = storage;
    this.#envelope = envelope;
  }

  /** @throws {QuotaExceeded} when the tenant has as many files as it may keep */
  async begin({ author, purpose, filename }: NewFile, maxFiles = Number.MAX_SAFE_INTEGER): Promise<OpenFile> {
    const id = newFileId();
    const { tenant, project, keyId } = author;
    const { key, wrapped } = await this.#envelope.create({ tenant, object: id });
    const rows = await this.#storage.query(
      `insert into gateway_file
         (tenant, id, project, key_id, purpose, filename, state, content_key_id, data_key)
       select $1, $2, $3, $4, $5, $6, 'writing', $7, $8
       where (select count(*) from gateway_file where tenant = $1 and state <> 'deleted') < $9
       returning id`,
      [tenant, id, project, keyId, purpose, filename, wrapped.keyId, wrapped.ciphertext, maxFiles],
    );
    if (rows.length === 0) throw new QuotaExceeded("files");
    return { id, tenant, key };
  }

  /**
   * Appends the next chunk. Uploads side by side may together exceed the tenant's bytes by a chunk each.
   * @throws {QuotaExceeded} when the tenant's files hold as much as they may
   */
  async append(
    { id, tenant, key }: OpenFile,
    { number, last, data }: Chunk,
    maxBytes: number,
  ): Promise<void> {
    const rows = await this.#storage.query(
      `with grown as (
         update gateway_file set bytes = bytes + $3, chunks = $4 + 1, touched_at = clock_timestamp()
         where id = $2 and tenant = $1 and state = 'writing' and chunks = $4 and (${USED}) + $3 <= $5
         returning id)
       insert into gateway_file_chunk (file_id, number, data) select id, $4, $6 from grown returning file_id`,
      [tenant, id, data.length, number, maxBytes, key.seal(data, { number, last })],
    );
    if (rows.length === 0) throw new QuotaExceeded("bytes");
  }

  /** Writes a whole file from a stream; it can be seen when `finish` was called. Its bytes. */
  async write(file: OpenFile, source: AsyncIterable<Buffer>, maxBytes: number): Promise<number> {
    let bytes = 0;
    for await (const chunk of toChunks(source)) {
      await this.append(file, chunk, maxBytes);
      bytes += chunk.data.length;
    }
    return bytes;
  }

  /** Makes a file visible. @param seconds until it goes */
  async finish({ id, tenant }: OpenFile, seconds: number): Promise<StoredFile> {
    const [row] = await this.#storage.query<FileRow>(
      `update gateway_file set state = 'ready', expires_at = clock_timestamp() + make_interval(secs => $3)
       where id = $2 and tenant = $1 and state = 'writing' returning ${COLUMNS}`,
      [tenant, id, seconds],
    );
    if (!row) throw new Error("the file was given up while it was written");
    return toFile(row);
  }

  async find(tenant: string, id: string): Promise<StoredFile | undefined> {
    const row = await this.#row(tenant, id);
    return row && toFile(row);
  }

  /** Undefined where `after` is none of the tenant's files. One more than asked for tells that there are more. */
  async list(tenant: string, { limit, ascending, after }: Page, purpose?: string): Promise<StoredFile[]> {
    const direction = ascending ? "asc" : "desc";
    const rows = await this.#storage.query<FileRow>(
      `select ${COLUMNS} from gateway_file where tenant = $1 and ${VISIBLE}
         and ($2::text is null or purpose = $2)
         and ($3::text is null or (created_at, id) ${ascending ? ">" : "<"}
           (select created_at, id from gateway_file where tenant = $1 and id = $3))
       order by created_at ${direction}, id ${direction} limit $4`,
      [tenant, purpose ?? null, after ?? null, limit],
    );
    return rows.map(toFile);
  }

  /** Whether there was such a file. Its chunks go in the background. */
  async delete(tenant: string, id: string): Promise<boolean> {
    const rows = await this.#storage.query(
      `update gateway_file set state = 'deleted', touched_at = clock_timestamp()
       where id = $2 and tenant = $1 and ${VISIBLE} returning id`,
      [tenant, id],
    );
    return rows.length > 0;
  }

  /** Gives up a file that is not complete. */
  async abandon({ id, tenant }: OpenFile): Promise<void> {
    await this.#storage.query(
      "update gateway_file set state = 'deleted' where id = $2 and tenant = $1 and state = 'writing'",
      [tenant, id],
    );
  }

  /**
   * The file's bytes, a chunk at a time.
   * @throws {ContentError} while it is read, when a chunk is missing or was changed
   */
  async *read(tenant: string, id: string): AsyncGenerator<Buffer> {
    const row = await this.#row(tenant, id);
    if (!row) return;
    const wrapped = { keyId: row.content_key_id, ciphertext: row.data_key };
    const key = await this.#envelope.open(wrapped, { tenant, object: id });
    for (let number = 0; number < row.chunks; number += 1) {
      const [chunk] = await this.#storage.query<{ data: Buffer }>(
        "select data from gateway_file_chunk where file_id = $1 and number = $2",
        [id, number],
      );
      if (!chunk) throw new ContentError("corrupt", `chunk ${number} of ${id} is missing`);
      yield key.open(chunk.data, { number, last: number === row.chunks - 1 });
    }
  }

  async #row(tenant: string, id: string): Promise<FileRow | undefined> {
    const [row] = await this.#storage.query<FileRow>(
      `select ${COLUMNS} from gateway_file where tenant = $1 and id = $2 and ${VISIBLE}`,
      [tenant, id],
    );
    return row;
  }
}

function toFile({ created, expires, content_key_id: _, data_key: __, ...row }: FileRow): StoredFile {
  return { ...row, createdAt: created, expiresAt: expires ?? undefined };
}
