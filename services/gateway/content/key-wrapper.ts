/** A data key as it is stored beside what it encrypts: worthless without the master key that wrapped it. */
export interface WrappedKey {
  /** Name of the master key. */
  readonly keyId: string;
  readonly ciphertext: Buffer;
}

/** What a data key belongs to; bound into everything that is encrypted for it. */
export interface ContentOwner {
  readonly tenant: string;
  /** Id of the stored object. */
  readonly object: string;
}

/** Holds master keys, or asks a key management service that does. */
export interface KeyWrapper {
  /** Name of the master key that wraps now; others only unwrap what they wrapped before. */
  readonly currentKeyId: string;
  wrap(dataKey: Buffer, owner: ContentOwner): Promise<WrappedKey>;
  /** @throws {ContentError} when the key is unknown, or wrapped nothing for this owner */
  unwrap(wrapped: WrappedKey, owner: ContentOwner): Promise<Buffer>;
}

/** Stored content cannot be read. The message is for operators and holds nothing of the content and no key. */
export class ContentError extends Error {
  readonly reason: "unknown_key" | "corrupt";

  constructor(reason: ContentError["reason"], message: string) {
    super(message);
    this.name = "ContentError";
    this.reason = reason;
  }
}
