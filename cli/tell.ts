import { plainText } from "../release/report/text.ts";

/** Prints text that may come from outside, such as labels and a model's words: it can neither color nor move anything. */
export function tell(text: string): void {
  console.log(plainLines(text));
}

export function plainLines(text: string): string {
  return text.split("\n").map(plainText).join("\n");
}
