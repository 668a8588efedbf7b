import type { Timed } from "./figures.ts";
import { moment } from "./format.ts";
import { cells, clip, plainText } from "./text.ts";

/** A moment with a vertical line through the plots. */
export interface Mark {
  time: number;
  kind: "stage" | "decision";
  /** A few words. */
  label: string;
  /** What a decision is called where its label does not fit: its number in the table. */
  short: string;
  /** All of it, for those who point at the mark or have it read out. */
  title: string;
}

/** A mark's label as it is drawn, on a lane above the plot. */
export interface Label {
  x: number;
  lane: number;
  text: string;
}

/** Where the stage becomes another one. */
export function stageMarks(samples: readonly Timed[]): Mark[] {
  return samples
    .filter(({ sample }, index) => sample.stage !== samples[index - 1]?.sample.stage)
    .map(({ time, sample }) => {
      const label = plainText(sample.stage);
      return { time, kind: "stage", label, short: "", title: `${label}, from ${moment(time)}` };
    });
}

/** Words of a journal's kind, such as "rolled-back". */
export const kindInWords = (kind: string): string => plainText(kind).replaceAll("-", " ");

export function decisionMarks(decisions: readonly { at: string; kind: string; text: string }[]): Mark[] {
  return decisions
    .map(({ at, kind, text }, index): Mark => {
      const short = String(index + 1);
      const label = `${short} ${kindInWords(kind)}`;
      return {
        time: Date.parse(at),
        kind: "decision",
        label,
        short,
        title: `${label}, ${moment(at)}: ${text}`,
      };
    })
    .filter(({ time }) => Number.isFinite(time));
}

/** A cell of the labels' font in the plot's pixels, rather too wide than too narrow. */
const CELL = 6.2;
const SPACE = 6;
/** Marks that are closer than this share a label. */
const TOGETHER = 14;

/** Marks with their place. */
export interface Placed {
  x: number;
  mark: Mark;
}

/** Each stage's label on one lane, cut where the next stage begins. */
export function stageLabels(marks: readonly Placed[], end: number): Label[] {
  return marks.flatMap(({ x, mark }, index) => {
    const room = Math.floor(((marks[index + 1]?.x ?? end) - x - SPACE) / CELL);
    // Less tells nothing.
    return room < 3 ? [] : [{ x, lane: 0, text: clip(mark.label, room) }];
  });
}

function together(marks: readonly Placed[]): Placed[][] {
  const groups: Placed[][] = [];
  for (const placed of marks) {
    const group = groups.at(-1);
    if (group?.[0] && placed.x - group[0].x < TOGETHER) group.push(placed);
    else groups.push([placed]);
  }
  return groups;
}

/** What a group may be called, the longest first: all of it, or its numbers alone. */
function names(group: readonly Placed[]): string[] {
  const [first, last] = [group[0]?.mark, group.at(-1)?.mark];
  if (!first || !last) return [];
  return first === last
    ? [last.label, last.short]
    : [`${first.short}–${last.label}`, `${first.short}–${last.short}`];
}

/** Labels of decisions on as many lanes as given, shortened to their numbers where they would overlap. */
export function decisionLabels(marks: readonly Placed[], lanes: number, end: number): Label[] {
  const ends = Array.from({ length: lanes }, () => 0);
  return together(marks).flatMap((group) => {
    const x = group[0]?.x ?? 0;
    for (const text of names(group)) {
      const width = cells(text) * CELL;
      const start = Math.min(x, end - width);
      const lane = ends.findIndex((taken) => taken <= start);
      if (lane < 0) continue;
      ends[lane] = start + width + SPACE;
      return [{ x: start, lane, text }];
    }
    return [];
  });
}
