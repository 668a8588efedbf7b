import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";

const deriveKey = promisify(pbkdf2);
/** Figures of Pulumi's passphrase secrets provider, so that the Pulumi CLI opens what is sealed here. */
const ITERATIONS = 1_000_000;
const KEY_BYTES = 32;
const SALT_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What the salt carries sealed, to tell a wrong passphrase from a right one. */
const PROBE = "pulumi";

/** Keys already derived in this process: the derivation is slow on purpose, and every run of a stack needs it. */
const keys = new Map<string, Promise<Buffer>>();

function keyFor(passphrase: string, salt: Buffer): Promise<Buffer> {
  const name = `${salt.toString("base64")}:${passphrase}`;
  const known = keys.get(name) ?? deriveKey(passphrase, salt, ITERATIONS, KEY_BYTES, "sha256");
  keys.set(name, known);
  return known;
}

/** Seals strings with AES-256-GCM under a key derived from a passphrase, in the format of Pulumi's state files. */
export class Crypter {
  readonly salt: string;
  readonly #key: Buffer;

  private constructor(key: Buffer, salt: string) {
    this.#key = key;
    this.salt = salt;
  }

  static async create(passphrase: string): Promise<Crypter> {
    const salt = randomBytes(SALT_BYTES);
    const key = await keyFor(passphrase, salt);
    const probe = new Crypter(key, "").encrypt(PROBE);
    return new Crypter(key, `v1:${salt.toString("base64")}:${probe}`);
  }

  /** @throws when the passphrase is not the one that the salt was made with. */
  static async open(passphrase: string, salt: string): Promise<Crypter> {
    const [version, raw, ...probe] = salt.split(":");
    if (version !== "v1" || !raw) throw new Error(`unknown format of the encryption salt: ${version}`);
    const crypter = new Crypter(await keyFor(passphrase, Buffer.from(raw, "base64")), salt);
    try {
      if (crypter.decrypt(probe.join(":")) === PROBE) return crypter;
    } catch {
      // An authentication failure of AES-GCM means the same as a wrong probe.
    }
    throw new Error("incorrect passphrase: the secrets in the state cannot be opened with it");
  }

  encrypt(plaintext: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    const body = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `v1:${nonce.toString("base64")}:${body.toString("base64")}`;
  }

  decrypt(ciphertext: string): string {
    const [version, nonce, body] = ciphertext.split(":");
    if (version !== "v1" || !nonce || !body) throw new Error("unknown format of a ciphertext");
    const bytes = Buffer.from(body, "base64");
    const decipher = createDecipheriv("aes-256-gcm", this.#key, Buffer.from(nonce, "base64"));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return decipher.update(bytes.subarray(0, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
  }
}
