import { plainText } from "./text.ts";

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** HTML or SVG that is safe to put into a page as it is. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What a template may hold: all but markup is text. */
export type Content = Markup | string | number | undefined | readonly Content[];

function render(content: Content): string {
  if (content === undefined) return "";
  if (content instanceof Markup) return content.text;
  if (typeof content === "object") return content.map(render).join("");
  return plainText(String(content)).replaceAll(/[&<>"']/gu, (character) => ENTITIES[character] ?? "");
}

/** Markup from a template, whose contents are escaped: as text, and as value of an attribute in quotes. */
export function html(strings: TemplateStringsArray, ...contents: Content[]): Markup {
  return new Markup(strings.reduce((before, next, index) => before + render(contents[index - 1]) + next));
}

/** Text from outside, whose direction of writing does not reach what follows it. */
export const foreign = (text: string): Markup => html`<bdi>${text}</bdi>`;
