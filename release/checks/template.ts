import { Liquid } from "liquidjs";

const MAX_TEMPLATE_CHARACTERS = 100_000;
const MAX_TEXT_CHARACTERS = 200_000;
const RENDER_MS = 1000;

const engine = new Liquid({
  strictVariables: true,
  strictFilters: true,
  ownPropertyOnly: true,
  // A template is looked up here alone: none reaches the file system.
  templates: {},
  parseLimit: MAX_TEMPLATE_CHARACTERS,
  renderLimit: RENDER_MS,
  memoryLimit: MAX_TEXT_CHARACTERS,
});

/**
 * A prompt's text with its variables put in.
 * @throws Error for a variable or filter that does not exist, broken syntax, and a text beyond the limits.
 */
export function render(template: string, variables: Readonly<Record<string, unknown>>): string {
  const text: string = engine.parseAndRenderSync(template, variables);
  if (text.length > MAX_TEXT_CHARACTERS) {
    throw new Error(`the text has more than ${MAX_TEXT_CHARACTERS} characters`);
  }
  return text;
}

/** @throws Error for broken syntax and filters that do not exist. */
export function checkSyntax(template: string): void {
  engine.parse(template);
}
