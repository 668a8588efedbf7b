import { createSecretKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { encodeContext, KEY_BYTES, open, seal } from "./aead.ts";
import { ContentError, type ContentOwner, type KeyWrapper, type WrappedKey } from "./key-wrapper.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const contentKey = z.strictObject({
  /** Stored with everything that the key wraps. */
  id: z
    .string({ error: "is missing; name the key" })
    .regex(NAME, "is no plain name; use 1 to 63 letters, digits, dots, dashes or underscores"),
  /** Secret. */
  key: z.string({ error: "is missing; give 32 random bytes in base64" }).refine(isKey, {
    error: "is no key; give 32 random bytes in base64, as `openssl rand -base64 32` makes them",
  }),
});

/** The first key wraps, all unwrap: a new key goes first, and an old one goes when nothing is wrapped with it. */
export const contentKeys = z
  .array(contentKey, { error: 'is no list; use [{"id":…,"key":…}]' })
  .min(1, "is empty; give at least one key, or leave it out for no files and batches")
  .refine((list) => new Set(list.map(({ id }) => id)).size === list.length, {
    error: "names a key twice; give each key its own id",
  });

export type ContentKeys = z.infer<typeof contentKeys>;

function isKey(text: string): boolean {
  const bytes = Buffer.from(text, "base64");
  // Node.js decodes whatever it can; only what encodes to the same text was base64, in either alphabet.
  const given = text.replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/");
  return bytes.length === KEY_BYTES && bytes.toString("base64").replace(/=+$/, "") === given;
}

/** Wraps data keys with master keys that the process itself was given. */
export class LocalKeyWrapper implements KeyWrapper {
  readonly currentKeyId: string;
  readonly #keys: ReadonlyMap<string, KeyObject>;

  constructor(keys: ContentKeys) {
    const [current] = keys;
    if (!current) throw new Error("there must be a key that wraps");
    this.currentKeyId = current.id;
    this.#keys = new Map(keys.map(({ id, key }) => [id, createSecretKey(Buffer.from(key, "base64"))]));
  }

  async wrap(dataKey: Buffer, owner: ContentOwner): Promise<WrappedKey> {
    const keyId = this.currentKeyId;
    return { keyId, ciphertext: seal(this.#find(keyId), dataKey, contextOf(keyId, owner)) };
  }

  async unwrap({ keyId, ciphertext }: WrappedKey, owner: ContentOwner): Promise<Buffer> {
    const dataKey = open(this.#find(keyId), ciphertext, contextOf(keyId, owner));
    if (dataKey) return dataKey;
    throw new ContentError(
      "corrupt",
      `the data key of ${owner.object} was not wrapped by content key "${keyId}" as it is now; restore the row, or the key under that id`,
    );
  }

  #find(keyId: string): KeyObject {
    const key = this.#keys.get(keyId);
    if (key) return key;
    throw new ContentError(
      "unknown_key",
      `content key "${keyId}" is not among the gateway's content keys; add it behind the first one`,
    );
  }
}

function contextOf(keyId: string, { tenant, object }: ContentOwner): Buffer {
  return encodeContext("data-key", keyId, tenant, object);
}
