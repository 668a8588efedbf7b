import { anyPiece } from "./language.ts";
import { randomFrom } from "./random.ts";
import { type Piece, toPieces } from "./tokenizer.ts";

interface Candidate {
  readonly piece: Piece;
  readonly logprob: number;
}

// The chosen token is the likeliest; each alternative follows with a lower probability.
function candidates(piece: Piece, position: number, count: number): Candidate[] {
  const random = randomFrom(piece.id * 31 + position);
  let logprob = -random();
  const list: Candidate[] = [{ piece, logprob }];
  while (list.length < count) {
    logprob -= 0.1 + random();
    list.push({ piece: anyPiece(random), logprob });
  }
  return list;
}

function described({ piece, logprob }: Candidate) {
  return { token: piece.text, logprob, bytes: [...Buffer.from(piece.text)] };
}

/** The shape of chat completions for the tokens from `from` up to `to`. */
export function chatLogprobs(pieces: readonly Piece[], top: number, range: { from: number; to: number }) {
  const content = pieces.slice(range.from, range.to).map((piece, offset) => {
    const list = candidates(piece, range.from + offset, top);
    const chosen = list[0] ?? { piece, logprob: 0 };
    return { ...described(chosen), top_logprobs: list.slice(0, top).map(described) };
  });
  return { content };
}

interface CompletionLogprobs {
  readonly text_offset: number[];
  readonly token_logprobs: (number | null)[];
  readonly tokens: string[];
  readonly top_logprobs: (Record<string, number> | null)[];
}

/** The shape of text completions; a prompt's first token has no probability. */
export function completionLogprobs(
  pieces: readonly Piece[],
  top: number,
  options: { startsWithPrompt: boolean; offset: number },
) {
  const logprobs: CompletionLogprobs = { text_offset: [], token_logprobs: [], tokens: [], top_logprobs: [] };
  let offset = options.offset;
  pieces.forEach((piece, index) => {
    const unknown = options.startsWithPrompt && index === 0;
    const list = candidates(piece, index, top);
    logprobs.text_offset.push(offset);
    logprobs.tokens.push(piece.text);
    logprobs.token_logprobs.push(unknown ? null : (list[0]?.logprob ?? null));
    logprobs.top_logprobs.push(
      unknown ? null : Object.fromEntries(list.map(({ piece: { text }, logprob }) => [text, logprob])),
    );
    offset += piece.text.length;
  });
  return logprobs;
}

/** For each prompt token a map from token id to its probability; null for the first. */
export function promptLogprobs(ids: readonly number[], top: number) {
  return toPieces(ids).map((piece, position) => {
    if (position === 0) return null;
    const list = candidates(piece, position, Math.max(1, top));
    return Object.fromEntries(
      list.map((candidate, index) => [
        String(candidate.piece.id),
        { logprob: candidate.logprob, rank: index + 1, decoded_token: candidate.piece.text },
      ]),
    );
  });
}
