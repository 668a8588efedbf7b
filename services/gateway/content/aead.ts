import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from "node:crypto";

const ALGORITHM = "aes-256-gcm";
/** Bytes of a key of AES-256. */
export const KEY_BYTES = 32;
// 96 bits, the size that GCM is made for (NIST SP 800-38D, 5.2.1.1). At random they stay unique far beyond the
// chunks that one data key ever encrypts, also when a chunk is written again.
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Bytes that encryption adds. */
export const OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES;

/** Encrypts and authenticates, also the context, which is not stored: nonce, ciphertext and tag in one. */
export function seal(key: KeyObject, plaintext: Buffer, context: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(context);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** What was sealed; undefined unless key, context and every byte are the same as then. */
export function open(key: KeyObject, sealed: Buffer, context: Buffer): Buffer | undefined {
  if (sealed.length < OVERHEAD_BYTES) return undefined;
  const end = sealed.length - TAG_BYTES;
  const options = { authTagLength: TAG_BYTES };
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), options)
    .setAAD(context)
    .setAuthTag(sealed.subarray(end));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** One unambiguous sequence of bytes: no two lists of parts are encoded alike. */
export function encodeContext(...parts: readonly (string | number)[]): Buffer {
  return Buffer.from(JSON.stringify(parts));
}
