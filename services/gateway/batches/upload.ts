import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { Busboy, type BusboyConfig, type BusboyInstance } from "@fastify/busboy";
import { ApiError } from "../api/errors.ts";

const MULTIPART = /^multipart\/form-data\s*;.*boundary=/i;
const MAX_FIELDS = 16;
const MAX_FIELD_BYTES = 1_024;
const MAX_FIELD_NAME_BYTES = 128;
const MAX_HEADER_PAIRS = 32;
const MAX_FILENAME_LENGTH = 255;
const FILE_FIELD = "file";
// Each holds a chunk in memory; beyond that, clients try again a moment later. No tenant takes all of them.
const MAX_UPLOADS = 16;
const MAX_UPLOADS_OF_TENANT = 4;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out.
const CONTROL = /[\u0000-\u001f\u007f]/g;

/** Bounds how many uploads one gateway takes at the same time, and with it the memory that they need. */
export class UploadSlots {
  readonly #taken: string[] = [];

  async use<T>(tenant: string, upload: () => Promise<T>): Promise<T> {
    const own = this.#taken.filter((taker) => taker === tenant).length;
    if (own >= MAX_UPLOADS_OF_TENANT || this.#taken.length >= MAX_UPLOADS) throw new ApiError("unavailable");
    this.#taken.push(tenant);
    try {
      return await upload();
    } finally {
      this.#taken.splice(this.#taken.indexOf(tenant), 1);
    }
  }
}

/** Stores the file as it arrives. */
export type Receive<T> = (filename: string, content: AsyncIterable<Buffer>) => Promise<T>;

export interface Upload<T> {
  /** What `receive` made of the file. */
  readonly stored: T;
  readonly fields: ReadonlyMap<string, string>;
}

function invalid(message: string, param?: string): ApiError {
  return new ApiError("invalid_request", param === undefined ? { message } : { message, param });
}

export interface UploadBounds {
  readonly maxFileBytes: number;
  /** Milliseconds without a byte after which the client is taken for gone. */
  readonly idleMs: number;
}

/**
 * Reads a multipart form with one file, at the pace at which it is stored.
 * @throws {ApiError} for a form that is none, or has no file, more than one, or a larger one
 */
export async function readUpload<T>(
  request: IncomingMessage,
  { maxFileBytes, idleMs }: UploadBounds,
  receive: Receive<T>,
): Promise<Upload<T>> {
  const contentType = request.headers["content-type"] ?? "";
  if (!MULTIPART.test(contentType)) throw invalid("The content type must be multipart/form-data.");
  const form = new FormReader<T>(open(contentType, maxFileBytes), receive, maxFileBytes);
  return form.read(request, idleMs);
}

function open(contentType: string, maxFileBytes: number): BusboyInstance {
  const config: BusboyConfig = {
    headers: { "content-type": contentType },
    limits: {
      files: 1,
      fileSize: maxFileBytes,
      fields: MAX_FIELDS,
      fieldSize: MAX_FIELD_BYTES,
      fieldNameSize: MAX_FIELD_NAME_BYTES,
      parts: MAX_FIELDS + 1,
      headerPairs: MAX_HEADER_PAIRS,
    },
  };
  try {
    return new Busboy(config);
  } catch {
    throw invalid("The multipart form is malformed.");
  }
}

class FormReader<T> {
  readonly #parser: BusboyInstance;
  readonly #receive: Receive<T>;
  readonly #maxFileBytes: number;
  readonly #fields = new Map<string, string>();
  readonly #parsed = Promise.withResolvers<void>();
  #receiving: Promise<T> | undefined;
  #content: Readable | undefined;

  constructor(parser: BusboyInstance, receive: Receive<T>, maxFileBytes: number) {
    this.#parser = parser;
    this.#receive = receive;
    this.#maxFileBytes = maxFileBytes;
  }

  async read(request: IncomingMessage, idleMs: number): Promise<Upload<T>> {
    this.#listen();
    const stalled = setTimeout(() => this.#fail(invalid("The form did not arrive in time.")), idleMs);
    request.on("data", () => stalled.refresh());
    const onClose = () => {
      if (!request.complete) this.#fail(new ApiError("invalid_request"));
    };
    request.once("close", onClose);
    if (request.closed) onClose();
    request.pipe(this.#parser);
    try {
      await this.#parsed.promise;
      if (!this.#receiving) throw invalid("'file' is missing.", FILE_FIELD);
      return { stored: await this.#receiving, fields: this.#fields };
    } catch (error) {
      await this.#receiving?.catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(stalled);
      request.off("close", onClose);
      request.unpipe(this.#parser);
      // The rest is read and thrown away, so that the client gets to read the answer.
      request.resume();
    }
  }

  #listen(): void {
    const tooMany = (what: string) => () => this.#fail(invalid(`The form holds too many ${what}.`));
    this.#parser
      .on("file", (name, content, filename) => this.#onFile(name, content, filename))
      .on("field", (name, value, nameCut, valueCut) => {
        if (nameCut || valueCut) this.#fail(invalid("A field of the form is too long."));
        else if (name === FILE_FIELD) this.#fail(invalid("'file' must be a file.", FILE_FIELD));
        else this.#fields.set(name, value);
      })
      .on("filesLimit", tooMany("files"))
      .on("fieldsLimit", tooMany("fields"))
      .on("partsLimit", tooMany("parts"))
      .on("finish", () => this.#parsed.resolve())
      .on("error", () => this.#fail(invalid("The multipart form is malformed.")));
  }

  #onFile(name: string, content: Readable & { truncated?: boolean }, filename: string): void {
    // Who iterates hears of it; unheard it would end the process.
    content.on("error", () => undefined);
    if (name !== FILE_FIELD) {
      content.resume();
      this.#fail(invalid("The form's file must be in the field 'file'.", FILE_FIELD));
    } else {
      this.#content = content;
      content.once("limit", () => this.#fail(tooLarge(this.#maxFileBytes)));
      this.#receiving = this.#receive(toFilename(filename), content);
      this.#receiving.catch((error) => this.#fail(error));
    }
  }

  #fail(error: unknown): void {
    this.#parsed.reject(error);
    this.#content?.destroy(new Error("the upload was given up"));
  }
}

export function tooLarge(limit: number): ApiError {
  const message = `The file may hold at most ${limit} bytes.`;
  return new ApiError("request_too_large", { message, param: FILE_FIELD });
}

function toFilename(given: string | undefined): string {
  return (given ?? "").replaceAll(CONTROL, "").slice(0, MAX_FILENAME_LENGTH) || FILE_FIELD;
}
