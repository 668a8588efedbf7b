import { createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { encodeContext, KEY_BYTES, open, seal } from "./aead.ts";
import { ContentError, type ContentOwner, type KeyWrapper, type WrappedKey } from "./key-wrapper.ts";

/** Where in its object a chunk belongs. */
export interface ChunkPlace {
  /** From 0. */
  readonly number: number;
  /** Whether it is the object's last one; told by the stored chunk itself, so that none can be cut off unseen. */
  readonly last: boolean;
}

/** The data key of one object, unwrapped: encrypts and decrypts its chunks. */
export class ObjectKey {
  readonly #key: KeyObject;
  readonly #owner: ContentOwner;

  constructor(dataKey: Buffer, owner: ContentOwner) {
    this.#key = createSecretKey(dataKey);
    this.#owner = owner;
  }

  seal(plaintext: Buffer, place: ChunkPlace): Buffer {
    return seal(this.#key, plaintext, this.#contextOf(place));
  }

  /** @throws {ContentError} unless it was sealed for this place of this object */
  open(sealed: Buffer, place: ChunkPlace): Buffer {
    const plaintext = open(this.#key, sealed, this.#contextOf(place));
    if (plaintext) return plaintext;
    const { object } = this.#owner;
    throw new ContentError("corrupt", `chunk ${place.number} of ${object} is damaged, or belongs elsewhere`);
  }

  #contextOf({ number, last }: ChunkPlace): Buffer {
    const { tenant, object } = this.#owner;
    return encodeContext("chunk", tenant, object, number, last ? "last" : "more");
  }
}

/** A new object's key, to use and to store. */
export interface NewObjectKey {
  readonly key: ObjectKey;
  readonly wrapped: WrappedKey;
}

/** Envelope encryption: each object has a data key of its own, which is stored wrapped by a master key. */
export class Envelope {
  readonly #wrapper: KeyWrapper;

  constructor(wrapper: KeyWrapper) {
    this.#wrapper = wrapper;
  }

  get currentKeyId(): string {
    return this.#wrapper.currentKeyId;
  }

  async create(owner: ContentOwner): Promise<NewObjectKey> {
    const dataKey = randomBytes(KEY_BYTES);
    const wrapped = await this.#wrapper.wrap(dataKey, owner);
    return { key: new ObjectKey(dataKey, owner), wrapped };
  }

  /** @throws {ContentError} when no master key unwraps it for this owner */
  async open(wrapped: WrappedKey, owner: ContentOwner): Promise<ObjectKey> {
    return new ObjectKey(await this.#wrapper.unwrap(wrapped, owner), owner);
  }

  /** The same data key wrapped by the current master key; the content itself stays as it is. */
  async rewrap(wrapped: WrappedKey, owner: ContentOwner): Promise<WrappedKey> {
    if (wrapped.keyId === this.#wrapper.currentKeyId) return wrapped;
    return this.#wrapper.wrap(await this.#wrapper.unwrap(wrapped, owner), owner);
  }
}
