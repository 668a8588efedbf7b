/** A number from 0 up to, but not including, 1. */
export type Random = () => number;

const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** FNV-1a over numbers; `start` chains hashes. */
export function hashNumbers(values: readonly number[], start = OFFSET_BASIS): number {
  let hash = start;
  for (const value of values) hash = Math.imul(hash ^ value, PRIME);
  return hash >>> 0;
}

export function hashText(text: string, start = OFFSET_BASIS): number {
  let hash = start;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), PRIME);
  return hash >>> 0;
}

/** Mulberry32: small, fast and the same on every machine. */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function pick<T>(random: Random, first: T, rest: readonly T[]): T {
  const index = Math.floor(random() * (rest.length + 1));
  return index === 0 ? first : (rest[index - 1] ?? first);
}
