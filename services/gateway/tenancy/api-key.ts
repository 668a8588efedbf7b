import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/** What every key begins with, so that scanners recognise one that was published by mistake. */
export const KEY_PREFIX = "sk-gw-";

const SECRET_BYTES = 32;
const CHECKSUM_BYTES = 4;
const FORM = /^sk-gw-[\w-]{43}[\w-]{6}$/;
const CHECKSUM_LENGTH = 6;
const ID_BYTES = 9;

/** A fresh key, of which only the hash is ever kept. */
export interface FreshKey {
  /** Names the key; never secret. */
  readonly id: string;
  /** Shown once, to whom it is for. */
  readonly secret: string;
  readonly sha256: string;
  /** Its last characters, by which people tell their keys apart. */
  readonly hint: string;
}

/** Makes a key of 256 random bits. */
export function createKey(): FreshKey {
  const random = `${KEY_PREFIX}${randomBytes(SECRET_BYTES).toString("base64url")}`;
  const secret = random + checksum(random);
  const id = `key-${randomBytes(ID_BYTES).toString("hex")}`;
  return { id, secret, sha256: hashOf(secret), hint: secret.slice(-4) };
}

/**
 * The hash that a key is known by. A fast one is right here: nobody can try 2^256 keys, however fast the hash; slow
 * hashes are for passwords, which people choose, and would cost every request.
 */
export function hashOf(token: string): string {
  return hash("sha256", token, "hex");
}

/** Whether it may be one of our keys: what was mistyped or guessed without thought needs no database to refuse. */
export function isWellFormed(token: string): boolean {
  return FORM.test(token) && checksum(token.slice(0, -CHECKSUM_LENGTH)) === token.slice(-CHECKSUM_LENGTH);
}

function checksum(text: string): string {
  const bytes = Buffer.alloc(CHECKSUM_BYTES);
  bytes.writeUInt32BE(crc32(text));
  return bytes.toString("base64url");
}
