import { stripVTControlCharacters } from "node:util";

/** Turn the direction of text that follows, without being control characters by name. */
const DIRECTION = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu;
const LINE_BREAKS_AND_TABS = /[\t-\r\u0085\u2028\u2029]+/gu;
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303E\uFF01-\uFF60\uFFE0-\uFFE6]|\uFE0F/u;
const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Text from outside on one line: escape sequences and control characters can neither color nor move anything. */
export function plainText(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(LINE_BREAKS_AND_TABS, " ")
    .replaceAll(DIRECTION, "")
    .replaceAll(/\p{Cc}/gu, "")
    .toWellFormed();
}

const cellsOf = (grapheme: string): number => (WIDE.test(grapheme) ? 2 : 1);

/** Cells that a text takes on a terminal; rather one too many than one too few. */
export function cells(text: string): number {
  let sum = 0;
  for (const { segment } of GRAPHEMES.segment(text)) sum += cellsOf(segment);
  return sum;
}

/** As much of the text's beginning as takes at most `width` cells. */
export function beginning(text: string, width: number): string {
  let kept = "";
  let left = width;
  for (const { segment } of GRAPHEMES.segment(text)) {
    left -= cellsOf(segment);
    if (left < 0) break;
    kept += segment;
  }
  return kept;
}

/** The text, cut with an ellipsis where it takes more cells than `width`. */
export function clip(text: string, width: number): string {
  const kept = beginning(text, width);
  return kept === text || width < 1 ? kept : `${beginning(kept, width - 1)}…`;
}
