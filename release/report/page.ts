import { COLORS, type Color } from "../contract/head.ts";
import type { ReleaseReport, Sample } from "../samples.ts";
import { PLOTTED, timed } from "./figures.ts";
import { elapsed, moment } from "./format.ts";
import { type Content, foreign, html, Markup } from "./html.ts";
import { decisionMarks, stageMarks } from "./marks.ts";
import { type Plots, plot, type Span } from "./plot.ts";
import { STYLE } from "./style.ts";
import { decisionTable, figureTable } from "./tables.ts";

const OUTCOMES: Record<
  ReleaseReport["outcome"],
  { sign: string; style: string; ended: string; took: string }
> = {
  released: { sign: "✓ Released", style: "released", ended: "Ended", took: "Took" },
  "rolled back": { sign: "↩ Rolled back", style: "rolled-back", ended: "Ended", took: "Took" },
  "under way": { sign: "… Under way", style: "under-way", ended: "Last looked at", took: "So far" },
};

/** The document: what it shows is in it, and nothing in it can run or reach out. */
export function page(report: ReleaseReport): Markup {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Release ${report.release} on ${report.environment}: ${report.outcome}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
${headline(report)}
<h2>What changed</h2>
${changes(report.changes)}
<h2>Verdict</h2>
${verdict(report.samples)}
<h2>Figures over time</h2>
${figures(report)}
<h2>Decisions</h2>
${decisionTable(report.decisions)}
</main>
</body>
</html>
`;
}

const fact = (term: string, description: Content): Markup => html`<dt>${term}</dt><dd>${description}</dd>\n`;

function headline(report: ReleaseReport): Markup {
  const { sign, style, ended, took } = OUTCOMES[report.outcome];
  const until = endOf(report);
  const label = report.label ? html` (${foreign(report.label)})` : undefined;
  return html`<h1>Release ${foreign(report.release)}${label} on ${foreign(report.environment)}</h1>
<p class="outcome ${style}">${sign}</p>
${report.reason ? html`<p class="reason">${foreign(report.reason)}</p>` : undefined}
<dl>
${[
  fact("Rollout", html`number ${report.number}, ${foreign(report.strategy)}`),
  fact(
    "Colors",
    html`${report.from} (${foreign(report.previous)}) → ${report.to} (${foreign(report.release)})`,
  ),
  fact("By", foreign(report.by)),
  fact("Began", moment(report.startedAt)),
  fact(ended, moment(until)),
  fact(took, elapsed(until - Date.parse(report.startedAt))),
]}</dl>`;
}

/** A release under way lasts at least until its last sample. */
function endOf({ outcome, endedAt, samples }: ReleaseReport): number {
  const ended = Date.parse(endedAt);
  const last = timed(samples).at(-1)?.time ?? ended;
  return outcome === "under way" ? Math.max(ended, last) : ended;
}

function changes(parts: readonly string[]): Markup {
  if (parts.length === 0) return html`<p>Nothing: the same release again.</p>`;
  return html`<ul>${parts.map((part) => html`<li>${foreign(part)}</li>\n`)}</ul>`;
}

/** The last sample may be of a phase that is not judged, such as the removal of a color. */
function verdict(samples: readonly Sample[]): Markup {
  const judged = samples.findLast(
    ({ decision, reasons = [] }) => decision !== undefined || reasons.length > 0,
  );
  if (!judged) return html`<p>No sample was judged.</p>`;
  const { decision = "none", reasons = [] } = judged;
  const list = html`<ul>${reasons.map((reason) => html`<li>${foreign(reason)}</li>\n`)}</ul>`;
  return html`<p><strong>${decision}</strong> <span class="faint">at ${moment(judged.at)}, ${foreign(judged.stage)}</span></p>
${reasons.length > 0 ? list : undefined}`;
}

function figures(report: ReleaseReport): Markup {
  const samples = timed(report.samples);
  if (samples.length === 0) return html`<p>No sample was taken.</p>`;
  const span = spanOf([
    Date.parse(report.startedAt),
    Date.parse(report.endedAt),
    ...samples.map(({ time }) => time),
  ]);
  const plots: Plots = { samples, span, marks: [...stageMarks(samples), ...decisionMarks(report.decisions)] };
  const all = PLOTTED.map(
    (figure) =>
      html`<figure><figcaption><h3>${figure.title}</h3></figcaption><div class="scroll">${plot(figure, plots)}</div></figure>\n`,
  );
  return html`${legend(report)}
${all}
${figureTable(samples)}`;
}

function spanOf(times: readonly number[]): Span {
  const known = times.filter(Number.isFinite);
  return known.reduce<Span>(
    ([from, until], time) => [Math.min(from, time), Math.max(until, time)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}

function legend({ from, previous, release }: ReleaseReport): Markup {
  const entry = (color: Color) => {
    const what = color === from ? html`before, ${foreign(previous)}` : html`the release, ${foreign(release)}`;
    return html`<li><svg class="key" viewBox="0 0 35 10" aria-hidden="true"><path class="series ${color}" d="M2,5H33"/></svg> ${color}: ${what}</li>`;
  };
  return html`<ul class="legend">${COLORS.map(entry)}</ul>
<p class="faint">Times are in UTC. Full lines across mark where a stage begins; dotted ones the decisions, by their number below. A gap in a line means that the figure is unknown.</p>`;
}
