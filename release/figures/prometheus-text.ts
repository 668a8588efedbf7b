/** One value of a metric in Prometheus's text format. */
export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

function numberOf(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  return text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}

const unescaped = (text: string) =>
  text.replaceAll(/\\(.)/g, (_whole, character: string) => (character === "n" ? "\n" : character));

/** Reads a page of metrics; lines that hold no value, such as comments, are left out. */
export function parseMetrics(page: string): Series[] {
  return page.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, key = "", text = ""]) => [key, unescaped(text)]);
    return [{ name, labels: Object.fromEntries(pairs), value: numberOf(value) }];
  });
}
