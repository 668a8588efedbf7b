import fc from "fast-check";
import { encode as encodeWhole } from "gpt-tokenizer/encoding/cl100k_base";
import { describe, expect, test } from "vitest";
import {
  chatCharacters,
  chatPrompt,
  decode,
  encode,
  toPieces,
} from "../../../services/model-simulator/tokenizer.ts";

describe("tokens", () => {
  test("give the text back piece by piece, whatever characters span them", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        const ids = encode(text);
        const pieces = toPieces(ids);
        expect(pieces.map(({ id }) => id)).toEqual(ids);
        expect(pieces.map((piece) => piece.text).join("")).toBe(text);
        expect(decode(ids)).toBe(text);
      }),
    );
  });

  test("of a long text are those of the whole, since it is divided between words", () => {
    const text = "The quick brown fox jumps over the lazy dog, again and again. ".repeat(300);
    expect(encode(text)).toEqual(encodeWhole(text));
  });

  test("of one endless word take time in proportion to its length", () => {
    const begun = performance.now();
    expect(decode(encode("x".repeat(400_000)))).toHaveLength(400_000);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test("of the template carry no text, and an id outside the vocabulary is refused", () => {
    const { ids } = chatPrompt([{ role: "user", content: "Hi" }], {
      generationPrompt: true,
      continueLast: false,
    });
    expect(
      toPieces(ids)
        .map(({ text }) => text)
        .join(""),
    ).toBe("user\nHi\nassistant\n");
    expect(() => decode([200_000])).toThrow(RangeError);
  });
});

test("the template's characters are counted without its tokens", () => {
  const messages = [{ role: "user", content: "x".repeat(24_000) }];
  expect(chatCharacters(messages, { generationPrompt: true, continueLast: false })).toBe(24_050);
});
