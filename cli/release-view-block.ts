import type pc from "picocolors";
import { COLORS, type Color } from "../release/contract/head.ts";
import { count, percent, perSecond, score, seconds, UNKNOWN } from "../release/report/format.ts";
import { beginning, cells, clip, plainText } from "../release/report/text.ts";
import type { ColorSample, Sample } from "../release/samples.ts";

/** How a block is drawn. */
export interface Look {
  /** Cells of a line. */
  columns: number;
  pc: ReturnType<typeof pc.createColors>;
}

const NAME_WIDTH = 13;
const FIGURE_WIDTH = 13;
const MAX_BAR = 40;
/** A block that is taller than the terminal would lose its first lines. */
const MAX_REASONS = 3;
const MAX_REASON_LINES = 3;
const INDENT = "  ";

/** What both views call a figure, and how they write it. */
export const FIGURES: { name: string; write: (color: ColorSample) => string }[] = [
  { name: "requests/s", write: ({ requestRate }) => perSecond(requestRate) },
  { name: "errors", write: ({ errorRate }) => percent(errorRate) },
  { name: "p95", write: ({ p95Seconds }) => seconds(p95Seconds) },
  { name: "first token", write: ({ firstTokenP95Seconds }) => seconds(firstTokenP95Seconds) },
  { name: "quality", write: ({ quality }) => score(quality) },
  { name: "complaints", write: ({ complaints }) => count(complaints) },
];

/** Text in lines of at most `width` cells (2 at least), broken between words where it can be. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of plainText(text).split(" ")) {
    const longer = line === undefined ? word : `${line} ${word}`;
    const fits = line === undefined || cells(longer) <= width;
    if (!fits) lines.push(line ?? "");
    line = fits ? longer : word;
    while (cells(line) > width) {
      const head = beginning(line, width);
      lines.push(head);
      line = line.slice(head.length);
    }
  }
  return [...lines, line ?? ""];
}

/** All that people watch of a release, one entry per line. */
export function block(sample: Sample, look: Look): string[] {
  return [
    look.pc.bold(clip(plainText(sample.stage), look.columns)),
    bar(sample, look),
    "",
    ...table(sample, look),
    "",
    ...verdict(sample, look),
  ];
}

/** The weights as a bar between the colors' names; which part is whose shows without color, too. */
function bar({ weights }: Sample, { columns, pc }: Look): string {
  const [left, right] = [`blue ${weights.blue} % `, ` ${weights.green} % green`];
  const width = Math.min(MAX_BAR, columns - left.length - right.length);
  const green = greenCells(weights.green, width);
  const drawn = width < 4 ? "|" : pc.blue("█".repeat(width - green)) + pc.green("░".repeat(green));
  return `${pc.blue(left)}${drawn}${pc.green(right)}`;
}

/** A color with any traffic is seen, however little it is. */
function greenCells(percentage: number, width: number): number {
  if (percentage <= 0) return 0;
  if (percentage >= 100) return Math.max(0, width);
  return Math.min(width - 1, Math.max(1, Math.round((percentage / 100) * width)));
}

function table({ colors, weights }: Sample, { columns, pc }: Look): string[] {
  const row = (name: string, write: (color: Color) => string): string => {
    const figures = COLORS.map((color) => padded(write(color), FIGURE_WIDTH)).join("");
    return clip(padded(name, NAME_WIDTH) + figures.trimEnd(), columns);
  };
  const of = (write: (color: ColorSample) => string) => (color: Color) => {
    const known = colors[color];
    return known ? write(known) : UNKNOWN;
  };
  return [
    pc.bold(row("", (color) => color)),
    row(
      "release",
      of(({ release }) => plainText(release) || UNKNOWN),
    ),
    row("share", (color) => `${weights[color]} %`),
    ...FIGURES.map(({ name, write }) => row(name, of(write))),
  ];
}

function padded(text: string, width: number): string {
  const kept = clip(text, width - 1);
  return kept + " ".repeat(width - cells(kept));
}

const DECISION_COLORS = { promote: "green", hold: "yellow", "roll back": "red" } as const;

function verdict({ decision, reasons = [] }: Sample, { columns, pc }: Look): string[] {
  if (decision === undefined && reasons.length === 0) return [pc.dim("no verdict yet")];
  const name = decision ?? "no verdict";
  const more = reasons.length - MAX_REASONS;
  return [
    pc.bold(decision ? pc[DECISION_COLORS[decision]](name) : name),
    ...reasons.slice(0, MAX_REASONS).flatMap((reason) => reasonLines(reason, columns)),
    ...(more > 0 ? [`${INDENT}and ${more} more`] : []),
  ];
}

/** Reasons may come from a model: one that is endless is cut. */
function reasonLines(reason: string, columns: number): string[] {
  const width = columns - INDENT.length;
  const kept = clip(plainText(reason), MAX_REASON_LINES * width);
  return wrap(kept, width).map((line) => INDENT + line);
}
