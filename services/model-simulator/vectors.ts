import { hashText, randomFrom } from "./random.ts";

const COORDINATES_PER_FEATURE = 4;
const NGRAM = 3;
const WORD_WEIGHT = 1;
const NGRAM_WEIGHT = 0.35;

function addFeature(vector: Float64Array, feature: string, weight: number) {
  const random = randomFrom(hashText(feature));
  for (let step = 0; step < COORDINATES_PER_FEATURE; step += 1) {
    const at = Math.floor(random() * vector.length);
    vector[at] = (vector[at] ?? 0) + (random() < 0.5 ? -weight : weight);
  }
}

/**
 * A unit vector of hashed words and letter triples, so that texts which share words, or parts of words, are close.
 * The same on every machine.
 */
export function embed(text: string, dimensions: number): Float32Array {
  const vector = new Float64Array(dimensions);
  addFeature(vector, "", 0.1);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    addFeature(vector, word, WORD_WEIGHT);
    const padded = ` ${word} `;
    for (let at = 0; at + NGRAM <= padded.length; at += 1) {
      addFeature(vector, `#${padded.slice(at, at + NGRAM)}`, NGRAM_WEIGHT);
    }
  }
  return normalised(vector);
}

function normalised(vector: Float64Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)) || 1;
  return Float32Array.from(vector, (value) => value / length);
}

/** -1 to 1, for unit vectors. */
export function cosine(first: Float32Array, second: Float32Array): number {
  return first.reduce((sum, value, index) => sum + value * (second[index] ?? 0), 0);
}

/** Little-endian 32-bit floats in base64. */
export function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => {
    bytes.writeFloatLE(value, index * 4);
  });
  return bytes.toString("base64");
}
