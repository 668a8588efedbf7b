const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** A 32-bit hash of a text (FNV-1a over its UTF-16 units). Not for secrets. */
export function hashText(text: string): number {
  let hash = FNV_OFFSET;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  }
  return hash >>> 0;
}

/** A backend's score for a prompt: the one with the highest is the prompt's own (rendezvous hashing). */
export function rendezvousScore(prompt: number, seed: number): number {
  // murmur3's finaliser: every bit of the pair decides about every bit of the score.
  let mixed = prompt ^ Math.imul(seed, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * Requests that one backend may have before a prompt spills to its next one (bounded load): the mean of all, the new
 * request included, times the factor.
 * @param factor how much more than the mean is fine, above 1
 */
export function loadBound(outstanding: number, backends: number, factor: number): number {
  return Math.ceil(((outstanding + 1) / backends) * factor);
}
