/** The part of PostgreSQL's wire protocol 3 that has to be understood to share one database among connections. */

const SSL_REQUEST = 80_877_103;
const GSS_ENCRYPTION_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
const PROTOCOL_MAJOR = 3;
const MAX_STARTUP_BYTES = 10_000;
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** The peer does not keep to the protocol. */
export class ProtocolError extends Error {}

/** Cuts a byte stream into messages without copying more than once. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The next startup packet, which has a length but no type. */
  nextStartup(): Buffer | undefined {
    return this.#take(0, MAX_STARTUP_BYTES);
  }

  /** The next message: one byte of type, four of length, and the body. */
  next(maxBytes = MAX_MESSAGE_BYTES): Buffer | undefined {
    return this.#take(1, maxBytes);
  }

  #take(lengthAt: 0 | 1, maxBytes: number): Buffer | undefined {
    if (this.#size < lengthAt + 4) return undefined;
    const size = lengthAt + this.#head(lengthAt + 4).readInt32BE(lengthAt);
    if (size < lengthAt + 4 || size > maxBytes) throw new ProtocolError("invalid length of message");
    if (this.#size < size) return undefined;
    const all = this.#head(size);
    const rest = all.subarray(size);
    this.#chunks[0] = rest;
    if (rest.length === 0) this.#chunks.shift();
    this.#size -= size;
    return all.subarray(0, size);
  }

  /** The first chunk, made at least `size` long. */
  #head(size: number): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= size) return first;
    const joined = Buffer.concat(this.#chunks, this.#size);
    this.#chunks = [joined];
    return joined;
  }
}

export type Startup =
  | { readonly kind: "encryption" }
  | { readonly kind: "cancel" }
  | { readonly kind: "session"; readonly parameters: ReadonlyMap<string, string> };

export function parseStartup(packet: Buffer): Startup {
  if (packet.length < 8) throw new ProtocolError("invalid startup packet");
  const code = packet.readInt32BE(4);
  if (code === SSL_REQUEST || code === GSS_ENCRYPTION_REQUEST) return { kind: "encryption" };
  if (code === CANCEL_REQUEST) return { kind: "cancel" };
  if (code >> 16 !== PROTOCOL_MAJOR) throw new ProtocolError("unsupported protocol version");
  const words = packet.toString("utf8", 8).split("\0");
  const pairs = Array.from(
    { length: words.length >> 1 },
    (_, i) => [words[2 * i] ?? "", words[2 * i + 1] ?? ""] as const,
  );
  return { kind: "session", parameters: new Map(pairs) };
}

/** Answer to a request for TLS: there is none, go on without. */
export const NO_ENCRYPTION = Buffer.from("N");

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

const CLEARTEXT_PASSWORD = 3;

export function passwordRequest(): Buffer {
  const body = Buffer.alloc(4);
  body.writeInt32BE(CLEARTEXT_PASSWORD);
  return message("R", body);
}

/** The password in an answer to `passwordRequest`. */
export function parsePassword(answer: Buffer): string {
  if (typeOf(answer) !== "p") throw new ProtocolError("expected a password");
  return answer.toString("utf8", 5, answer.length - 1);
}

/** An error that ends the connection, with a SQLSTATE of PostgreSQL's own list. */
export function fatal(sqlState: string, text: string): Buffer {
  return message("E", Buffer.from(`SFATAL\0VFATAL\0C${sqlState}\0M${text}\0\0`));
}

export const ROLLBACK = message("Q", Buffer.from("ROLLBACK\0"));
export const SYNC = message("S", Buffer.alloc(0));

export function typeOf(bytes: Buffer): string {
  return bytes.toString("latin1", 0, 1);
}
