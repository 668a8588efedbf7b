import { scaleLinear, scaleUtc } from "d3-scale";
import { curveLinear, curveStepAfter, line } from "d3-shape";
import { COLORS, type Color } from "../contract/head.ts";
import { downsample, type Point } from "./downsample.ts";
import { type Plotted, type Timed, worstOf } from "./figures.ts";
import { html, type Markup } from "./html.ts";
import { decisionLabels, type Label, type Mark, type Placed, stageLabels } from "./marks.ts";

const WIDTH = 760;
const LEFT = 52;
const RIGHT = WIDTH - 36;
const LANE = 15;
const DECISION_LANES = 2;
/** One lane for the stages above those of the decisions. */
const TOP = (1 + DECISION_LANES) * LANE + 4;
const BOTTOM = TOP + 130;
const HEIGHT = BOTTOM + 26;
const TICKS = 4;
const TIME_TICKS = 6;
const DAY_MS = 86_400_000;
/** What a plot shows to either side of a moment where nothing took any time. */
const MARGIN_MS = 1000;

/** Milliseconds since the epoch that the plots reach over. */
export type Span = readonly [from: number, until: number];

export interface Plots {
  samples: readonly Timed[];
  marks: readonly Mark[];
  span: Span;
}

type TimeScale = ReturnType<typeof timeScale>;
type ValueScale = ReturnType<typeof valueScale>;

function timeScale([from, until]: Span) {
  const margin = from === until ? MARGIN_MS : 0;
  return scaleUtc([from - margin, until + margin], [LEFT, RIGHT]);
}

function valueScale(figure: Plotted, samples: Plots["samples"]) {
  const highest = samples.reduce(
    (top, { sample }) => Math.max(top, ...COLORS.map((color) => figure.valueOf(sample, color) ?? 0)),
    figure.top,
  );
  return scaleLinear([0, highest], [BOTTOM, TOP]).nice(TICKS);
}

const rounded = (pixels: number): number => Math.round(pixels * 10) / 10;

function pathOf(figure: Plotted, points: readonly Point[]): string {
  const draw = line<Point>()
    .defined(({ y }) => y !== null)
    .x(({ x }) => rounded(x))
    .y(({ y }) => rounded(y ?? Number.NaN))
    .curve(figure.steps ? curveStepAfter : curveLinear);
  return draw([...points]) ?? "";
}

/** Drawn twice: a peak must not fall between two dashes. */
function series(figure: Plotted, color: Color, { samples, time, value }: Scaled): Markup {
  const points = samples.map((timed): Point => {
    const known = figure.valueOf(timed.sample, color);
    return { x: time(timed.time), y: known === null ? null : value(known) };
  });
  const path = pathOf(figure, downsample(points));
  return html`<path class="under ${color}" d="${path}"/><path class="series ${color}" d="${path}"/>`;
}

interface Scaled {
  samples: Plots["samples"];
  time: TimeScale;
  value: ValueScale;
}

function timeAxis(time: TimeScale): Markup[] {
  const [from, until] = time.domain().map(Number);
  const long = (until ?? 0) - (from ?? 0) > DAY_MS;
  const format = time.tickFormat(TIME_TICKS, long ? "%d %b %H:%M" : "%H:%M:%S");
  return (
    time
      .ticks(TIME_TICKS)
      // Parts of a second would read as the same second twice.
      .filter((tick) => tick.getUTCMilliseconds() === 0)
      .map(
        (tick) =>
          html`<text class="tick" x="${rounded(time(tick))}" y="${BOTTOM + 19}" text-anchor="middle">${format(tick)}</text>`,
      )
  );
}

function valueAxis(figure: Plotted, value: ValueScale): Markup[] {
  const format = value.tickFormat(TICKS, figure.percent ? "%" : undefined);
  return value.ticks(TICKS).map((tick) => {
    const y = rounded(value(tick));
    return html`<line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="${y}" y2="${y}"/><text class="tick" x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${format(tick)}</text>`;
  });
}

const labelText = ({ x, lane, text }: Label, firstLane: number, kind: Mark["kind"]): Markup =>
  html`<text class="label ${kind}" x="${rounded(x + 3)}" y="${(firstLane + lane) * LANE + 12}">${text}</text>`;

const markLine = ({ x, mark }: Placed): Markup =>
  html`<line class="mark ${mark.kind}" x1="${rounded(x)}" x2="${rounded(x)}" y1="${mark.kind === "stage" ? 2 : LANE + 2}" y2="${BOTTOM}"><title>${mark.title}</title></line>`;

/** One line for all marks on a pixel: more could not be told apart. */
function place(marks: readonly Mark[], time: TimeScale, kind: Mark["kind"]): Placed[] {
  const [from = 0, until = 0] = time.domain().map(Number);
  return marks
    .filter((mark) => mark.kind === kind && mark.time >= from && mark.time <= until)
    .map((mark) => ({ x: time(mark.time), mark }))
    .sort((a, b) => a.x - b.x);
}

function markup(marks: readonly Mark[], time: TimeScale): Markup[] {
  const stages = place(marks, time, "stage");
  const decisions = place(marks, time, "decision");
  return [
    ...[...stages, ...decisions].map(markLine),
    ...stageLabels(stages, RIGHT).map((label) => labelText(label, 0, "stage")),
    ...decisionLabels(decisions, DECISION_LANES, RIGHT).map((label) => labelText(label, 1, "decision")),
  ];
}

/** What the plot shows, in words. */
function described(figure: Plotted, samples: Plots["samples"]): string {
  const all = samples.map(({ sample }) => sample);
  const last = all.at(-1);
  return COLORS.map((color) => {
    const latest = figure.format(last && figure.valueOf(last, color));
    if (figure.worse === "later") return `${color}: ${latest} at the end`;
    const word = figure.worse === "higher" ? "highest" : "lowest";
    return `${color}: ${word} ${figure.format(worstOf(figure, all, color))}, ${latest} at the end`;
  }).join("; ");
}

/** A figure of both colors over time, as one SVG. */
export function plot(figure: Plotted, { samples, marks, span }: Plots): Markup {
  const time = timeScale(span);
  const value = valueScale(figure, samples);
  const scaled: Scaled = { samples, time, value };
  const known = samples.some(({ sample }) => COLORS.some((color) => figure.valueOf(sample, color) !== null));
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${figure.title}. ${described(figure, samples)}">
<title>${figure.title}</title><desc>${described(figure, samples)}</desc>
${valueAxis(figure, value)}${timeAxis(time)}
${markup(marks, time)}
${known ? COLORS.map((color) => series(figure, color, scaled)) : html`<text class="none" x="${(LEFT + RIGHT) / 2}" y="${(TOP + BOTTOM) / 2}" text-anchor="middle">No figures are known.</text>`}
</svg>`;
}
