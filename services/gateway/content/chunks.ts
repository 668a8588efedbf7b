/** Bytes of each plaintext chunk but the last. Small beside a request's memory, large beside what encryption adds. */
export const CHUNK_BYTES = 256 * 1024;

export interface Chunk {
  readonly number: number;
  readonly last: boolean;
  readonly data: Buffer;
}

/**
 * Cuts a stream of bytes into chunks of one size, the last one shorter; a stream without bytes is one empty chunk.
 * Holds at most one chunk and one piece of the source.
 */
export async function* toChunks(source: AsyncIterable<Buffer>, size = CHUNK_BYTES): AsyncGenerator<Chunk> {
  let number = 0;
  let parts: Buffer[] = [];
  let held = 0;
  for await (const piece of source) {
    let rest = piece;
    // A full chunk waits until more bytes come: only then it is certain not to be the last.
    while (held + rest.length > size) {
      const taken = rest.subarray(0, size - held);
      yield { number, last: false, data: Buffer.concat([...parts, taken]) };
      number += 1;
      parts = [];
      held = 0;
      rest = rest.subarray(taken.length);
    }
    parts.push(rest);
    held += rest.length;
  }
  yield { number, last: true, data: Buffer.concat(parts) };
}
