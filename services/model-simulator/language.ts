import { pick, type Random } from "./random.ts";
import { encode, encodeLazily, type Piece, toPieces } from "./tokenizer.ts";

/** Where the writer would stop by itself; a generation that must go on passes over it. */
export const NATURAL_END = Symbol("natural end");
export type Source = Iterable<Piece | typeof NATURAL_END>;

type Words = readonly [string, ...string[]];

const ADJECTIVES: Words = [
  "clear",
  "small",
  "steady",
  "useful",
  "early",
  "careful",
  "simple",
  "common",
  "quiet",
  "recent",
];
const NOUNS: Words = [
  "answer",
  "system",
  "team",
  "plan",
  "service",
  "model",
  "request",
  "market",
  "report",
  "city",
  "method",
  "story",
  "result",
  "question",
];
const VERBS: Words = [
  "follows",
  "explains",
  "supports",
  "changes",
  "needs",
  "shows",
  "meets",
  "keeps",
  "joins",
  "improves",
];
const OPENERS: Words = ["The", "A", "This", "Each", "Every", "One", "That", "Another"];
const LINKS: Words = [" and", " because", " while", " so", ",", " but"];

const cache = new Map<string, readonly Piece[]>();

// A word with its leading space is encoded as it is inside a sentence, so joined words are the text's own tokens.
function piecesOf(text: string): readonly Piece[] {
  let pieces = cache.get(text);
  if (!pieces) {
    pieces = toPieces(encode(text));
    cache.set(text, pieces);
  }
  return pieces;
}

function word(random: Random, words: Words): string {
  const [first, ...rest] = words;
  return pick(random, first, rest);
}

function* clause(random: Random, subject: string): Generator<Piece> {
  yield* piecesOf(subject);
  yield* piecesOf(` ${word(random, ADJECTIVES)}`);
  yield* piecesOf(` ${word(random, NOUNS)}`);
  yield* piecesOf(` ${word(random, VERBS)}`);
  yield* piecesOf(" the");
  yield* piecesOf(` ${word(random, NOUNS)}`);
}

function* sentence(random: Random, space: string): Generator<Piece> {
  yield* clause(random, space + word(random, OPENERS));
  if (random() < 0.4) {
    yield* piecesOf(word(random, LINKS));
    yield* clause(random, " the");
  }
  yield* piecesOf(".");
}

/** Plain sentences without end; once `naturalTokens` are written, each sentence's end is a natural end. */
export function* sentences(random: Random, naturalTokens: number): Generator<Piece | typeof NATURAL_END> {
  let written = 0;
  for (let space = ""; ; space = " ") {
    for (const piece of sentence(random, space)) {
      written += 1;
      yield piece;
    }
    if (written >= naturalTokens) yield NATURAL_END;
  }
}

/** A few words in lower case, for values inside structured output. */
export function phrase(random: Random): string {
  return `${word(random, ADJECTIVES)} ${word(random, NOUNS)}`;
}

/** Exactly this text, then nothing else. */
export function* exactly(text: string): Generator<Piece | typeof NATURAL_END> {
  for (const ids of encodeLazily(text)) yield* toPieces(ids);
  yield NATURAL_END;
}

/** Some token of the vocabulary's words, for the alternatives that log probabilities list. */
export function anyPiece(random: Random): Piece {
  const [first, ...rest] = piecesOf(` ${word(random, NOUNS)}`);
  return first ?? rest[0] ?? { id: 0, text: "!" };
}
