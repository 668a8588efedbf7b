import { COLORS } from "../contract/head.ts";
import type { ReleaseReport, Sample } from "../samples.ts";
import { PLOTTED, type Timed, worstOf } from "./figures.ts";
import { moment } from "./format.ts";
import { foreign, html, type Markup } from "./html.ts";
import { kindInWords } from "./marks.ts";

/** More rows than anybody reads make a page that no browser likes. */
const MOST_ROWS = 200;

/** The journal: its numbers are those of the marks in the plots. */
export function decisionTable(decisions: ReleaseReport["decisions"]): Markup {
  if (decisions.length === 0) return html`<p>The journal holds no decision.</p>`;
  const rows = decisions.map(
    ({ at, kind, text }, index) =>
      html`<tr><th scope="row">${index + 1}</th><td class="moment">${moment(at)}</td><td>${foreign(kindInWords(kind))}</td><td>${foreign(text)}</td></tr>\n`,
  );
  return html`<div class="scroll"><table>
<thead><tr><th scope="col">No.</th><th scope="col">When</th><th scope="col">Decision</th><th scope="col">Why</th></tr></thead>
<tbody>
${rows}</tbody></table></div>`;
}

function figureRow(group: readonly Timed[]): Markup {
  const samples: Sample[] = group.map(({ sample }) => sample);
  const stages = [...new Set(samples.map(({ stage }) => stage))];
  const cells = PLOTTED.flatMap((figure) =>
    COLORS.map((color) => html`<td class="figure">${figure.format(worstOf(figure, samples, color))}</td>`),
  );
  return html`<tr><th scope="row">${moment(group[0]?.time ?? Number.NaN)}</th><td>${stages.map((stage, index) => [index > 0 ? html`, ` : undefined, foreign(stage)])}</td>${cells}</tr>\n`;
}

/** What the plots show, for those who read it rather than see it. */
export function figureTable(samples: readonly Timed[]): Markup {
  const perRow = Math.ceil(samples.length / MOST_ROWS);
  const groups = Array.from({ length: Math.ceil(samples.length / perRow) }, (_, row) =>
    samples.slice(row * perRow, (row + 1) * perRow),
  );
  const note =
    perRow > 1
      ? html`<p>Each row stands for up to ${perRow} samples and shows their worst figures.</p>`
      : undefined;
  const colors = PLOTTED.flatMap(() => COLORS.map((color) => html`<th scope="col">${color}</th>`));
  return html`<details><summary>All plots as a table</summary>
${note}<div class="scroll"><table>
<thead><tr><th scope="col" rowspan="2">From</th><th scope="col" rowspan="2">Stage</th>${PLOTTED.map(({ title }) => html`<th scope="colgroup" colspan="2">${title}</th>`)}</tr>
<tr>${colors}</tr></thead>
<tbody>
${groups.map(figureRow)}</tbody></table></div></details>`;
}
