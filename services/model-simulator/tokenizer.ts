import { decodeGenerator, encode as encodeBytePairs } from "gpt-tokenizer/encoding/cl100k_base";

/** One token and the characters that it completes ("" while a character is still incomplete). */
export interface Piece {
  readonly id: number;
  readonly text: string;
}

/** A message as the chat template sees it. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string;
}

export interface Prompt {
  readonly ids: readonly number[];
}

export const END_OF_TEXT: Piece = { id: 100_257, text: "" };
export const VOCABULARY_SIZE = 100_277;

// The ids from here on stand for no text.
const FIRST_SPECIAL = 100_256;

const MESSAGE_START = 100_264;
const MESSAGE_END = 100_265;
const MESSAGE_START_TEXT = "<|im_start|>";
const MESSAGE_END_TEXT = "<|im_end|>\n";

// What a client writes is text, also where it spells a special token.
const AS_TEXT = { disallowedSpecial: new Set<string>() };

// The byte-pair merge is quadratic in an unbroken run, so a long text is encoded in windows.
const WINDOW = 2048;

function windowEnd(text: string, start: number): number {
  const end = Math.min(start + WINDOW, text.length);
  if (end === text.length) return end;
  const space = text.lastIndexOf(" ", end);
  if (space > start) return space;
  const code = text.charCodeAt(end);
  const splitsPair = code >= 0xdc00 && code <= 0xdfff;
  return splitsPair ? end - 1 : end;
}

/** The tokens of a text, window by window, so that who needs only the first ones pays for no more. */
export function* encodeLazily(text: string): Generator<readonly number[]> {
  for (let start = 0; start < text.length; ) {
    const end = windowEnd(text, start);
    yield encodeBytePairs(text.slice(start, end), AS_TEXT);
    start = end;
  }
}

/** Stops soon after `most` tokens; a text that is longer than the context window is refused whatever follows. */
export function encode(text: string, most = Number.POSITIVE_INFINITY): number[] {
  if (text.length <= WINDOW) return encodeBytePairs(text, AS_TEXT);
  const ids: number[] = [];
  for (const window of encodeLazily(text)) {
    for (const id of window) ids.push(id);
    if (ids.length > most) break;
  }
  return ids;
}

function* plainPieces(ids: readonly number[]): Generator<Piece> {
  let taken = 0;
  const counted = function* () {
    for (const id of ids) {
      taken += 1;
      yield id;
    }
  };
  let given = 0;
  const upTo = function* (end: number, text: string) {
    for (const id of ids.slice(given, end)) {
      given += 1;
      yield { id, text: given === end ? text : "" };
    }
  };
  for (const text of decodeGenerator(counted())) yield* upTo(taken, text);
  yield* upTo(ids.length, "");
}

/** The tokens of a text, each with the characters that it completes; special tokens have none. */
export function toPieces(ids: readonly number[]): Piece[] {
  const pieces: Piece[] = [];
  for (let start = 0; start < ids.length; ) {
    let end = start;
    while (end < ids.length && (ids[end] ?? 0) < FIRST_SPECIAL) end += 1;
    for (const piece of plainPieces(ids.slice(start, end))) pieces.push(piece);
    const special = ids[end];
    if (special !== undefined) pieces.push({ id: special, text: "" });
    start = end + 1;
  }
  return pieces;
}

/** The text of tokens; the template's and the end token have none. Throws a RangeError for an id outside the vocabulary. */
export function decode(ids: readonly number[]): string {
  for (const id of ids) {
    if (id < 0 || id >= VOCABULARY_SIZE) throw new RangeError(`Token id ${id} is out of vocabulary`);
  }
  let text = "";
  for (const part of decodeGenerator(ids.filter((id) => id < FIRST_SPECIAL))) text += part;
  return text;
}

const lineBreak = encode("\n");

export interface TemplateOptions {
  /** Whether the template opens the assistant's turn. */
  readonly generationPrompt: boolean;
  /** Whether the last message stays open, so that the answer goes on with it. */
  readonly continueLast: boolean;
  /** Tokens after which the rest no longer matters. @default no limit */
  readonly most?: number;
}

const ASSISTANT_START = "assistant\n";

/** Characters of the prompt that the template makes, without the cost of its tokens. */
export function chatCharacters(messages: readonly TemplateMessage[], options: TemplateOptions): number {
  let characters = options.generationPrompt ? MESSAGE_START_TEXT.length + ASSISTANT_START.length : 0;
  for (const { role, content } of messages) {
    characters += MESSAGE_START_TEXT.length + role.length + 1 + content.length + MESSAGE_END_TEXT.length;
  }
  return options.continueLast ? characters - MESSAGE_END_TEXT.length : characters;
}

/** ChatML, the template of the recorded model. */
export function chatPrompt(messages: readonly TemplateMessage[], options: TemplateOptions): Prompt {
  const ids: number[] = [];
  for (const [index, { role, content }] of messages.entries()) {
    ids.push(MESSAGE_START);
    for (const id of encode(`${role}\n${content}`, options.most)) ids.push(id);
    if (ids.length > (options.most ?? Number.POSITIVE_INFINITY)) return { ids };
    if (options.continueLast && index === messages.length - 1) break;
    ids.push(MESSAGE_END, ...lineBreak);
  }
  if (options.generationPrompt) ids.push(MESSAGE_START, ...encode(ASSISTANT_START));
  return { ids };
}

/** The tokens of a text; `most` as for `encode`. */
export function textPrompt(text: string, most?: number): Prompt {
  return { ids: encode(text, most) };
}
