/** RESP2, the protocol of Redis clients. Own code: the npm parsers for it read what servers send, without limits. */

const CR_LF = "\r\n";
const MAX_LINE_BYTES = 64 * 1024;

/** The peer does not keep to the protocol; it is told so and cut off. */
export class ProtocolError extends Error {}

export interface RequestLimits {
  readonly maxArguments: number;
  readonly maxArgumentBytes: number;
}

/** Cuts a byte stream into requests: arrays of binary-safe strings. */
export class RequestParser {
  #chunks: Buffer[] = [];
  #size = 0;
  // Below this size nothing new can be complete, so that a large argument is joined once and not with every chunk.
  #wanted = 1;
  #missing = 0;
  #request: Buffer[] = [];

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The next complete request. The limits hold for what is parsed from now on. */
  next(limits: RequestLimits): readonly Buffer[] | undefined {
    while (this.#size >= this.#wanted) {
      const complete = this.#missing === 0 ? this.#readCount(limits) : this.#readArgument(limits);
      if (!complete) return undefined;
      if (this.#missing === 0 && this.#request.length > 0) {
        const request = this.#request;
        this.#request = [];
        return request;
      }
    }
    return undefined;
  }

  #readCount(limits: RequestLimits): boolean {
    const line = this.#line("*");
    if (line === undefined) return false;
    const count = lengthIn(line, "invalid multibulk length");
    if (count > limits.maxArguments) throw new ProtocolError("invalid multibulk length");
    this.#drop(line.length + CR_LF.length);
    this.#missing = Math.max(0, count);
    return true;
  }

  #readArgument(limits: RequestLimits): boolean {
    const line = this.#line("$");
    if (line === undefined) return false;
    const length = lengthIn(line, "invalid bulk length");
    if (length < 0 || length > limits.maxArgumentBytes) throw new ProtocolError("invalid bulk length");
    const start = line.length + CR_LF.length;
    const total = start + length + CR_LF.length;
    if (this.#size < total) {
      this.#wanted = total;
      return false;
    }
    this.#request.push(this.#buffer().subarray(start, start + length));
    this.#missing -= 1;
    this.#drop(total);
    return true;
  }

  /** The line at the front, without its end, if it is complete. */
  #line(type: "*" | "$"): string | undefined {
    const buffer = this.#buffer();
    const first = buffer.toString("latin1", 0, 1);
    if (first !== type) throw new ProtocolError(`expected '${type}', got '${first}'`);
    const end = buffer.subarray(0, MAX_LINE_BYTES).indexOf(CR_LF);
    if (end >= 0) return buffer.toString("latin1", 0, end);
    if (buffer.length >= MAX_LINE_BYTES) throw new ProtocolError("too big count string");
    this.#wanted = this.#size + 1;
    return undefined;
  }

  #buffer(): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const joined = Buffer.concat(this.#chunks, this.#size);
    this.#chunks = [joined];
    return joined;
  }

  #drop(bytes: number): void {
    this.#chunks = [this.#buffer().subarray(bytes)];
    this.#size -= bytes;
    this.#wanted = 1;
  }
}

function lengthIn(line: string, problem: string): number {
  if (!/^-?\d{1,10}$/.test(line.slice(1))) throw new ProtocolError(problem);
  return Number(line.slice(1));
}

/** A status such as OK, which has no length on the wire. */
export class Status {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An error as an answer: code first, then the text. */
export class CommandError extends Error {}

export type Reply = Status | CommandError | bigint | number | string | Buffer | null | readonly Reply[];

export const OK = new Status("OK");

/** The bytes of a reply; strings and buffers become binary-safe strings. */
export function encode(reply: Reply): Buffer {
  const parts: Buffer[] = [];
  append(reply, parts);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

function append(reply: Reply, parts: Buffer[]): void {
  if (reply === null) parts.push(Buffer.from("$-1\r\n"));
  else if (reply instanceof Status) parts.push(Buffer.from(`+${reply.text}\r\n`));
  else if (reply instanceof CommandError) parts.push(Buffer.from(`-${oneLine(reply.message)}\r\n`, "latin1"));
  else if (typeof reply === "bigint" || typeof reply === "number") parts.push(Buffer.from(`:${reply}\r\n`));
  else if (typeof reply === "string") append(Buffer.from(reply), parts);
  else if (Buffer.isBuffer(reply)) parts.push(Buffer.from(`$${reply.length}\r\n`), reply, Buffer.from(CR_LF));
  else {
    parts.push(Buffer.from(`*${reply.length}\r\n`));
    for (const item of reply) append(item, parts);
  }
}

/** An error quotes what the client sent, which must not end the line. */
function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]/g, " ");
}
