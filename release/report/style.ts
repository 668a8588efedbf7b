/** Colors by Okabe and Ito, who chose them so that people with any color vision tell them apart; dashes say it again. */
export const STYLE = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #59636e; --rule: #d8dee4;
  --blue: #0072b2; --green: #008a63; --good: #00704f; --bad: #b3261e; --open: #7a5200; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e9ec; --faint: #9aa4ae;
  --rule: #353c44; --blue: #56b4e9; --green: #2ecf9d; --good: #4fd1a5; --bad: #ff8a80; --open: #f0b64c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 54rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 1.25rem 0 0; }
.outcome { display: inline-block; font-weight: 600; border: 2px solid; border-radius: .4rem; padding: 0 .6rem;
  margin: 0 0 .75rem; }
.released { color: var(--good); } .rolled-back { color: var(--bad); } .under-way { color: var(--open); }
.reason { margin: 0 0 1rem; font-size: 1.1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; min-width: 0; }
.scroll { overflow-x: auto; }
svg.key { width: 2.2rem; height: .7rem; vertical-align: middle; }
figure { margin: 0; break-inside: avoid; }
figure svg { display: block; width: 100%; min-width: 36rem; height: auto; font-size: 11px; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; padding: 0; margin: .25rem 0; list-style: none; }
.series { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.series.blue { stroke: var(--blue); } .series.green { stroke: var(--green); stroke-dasharray: 7 6; }
.under { fill: none; stroke-width: 1; stroke-linejoin: round; stroke-linecap: round; opacity: .6; }
.under.blue { stroke: var(--blue); } .under.green { stroke: var(--green); }
.grid { stroke: var(--rule); } .tick { fill: var(--faint); } .none { fill: var(--faint); font-size: 13px; }
.mark { stroke: var(--faint); stroke-width: 1; } .mark.decision { stroke-dasharray: 2 3; }
.label { fill: var(--ink); font-size: 10.5px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
 .label.stage { font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--rule); }
td.figure { font-variant-numeric: tabular-nums; white-space: nowrap; } td.moment { white-space: nowrap; }
summary { cursor: pointer; margin: .75rem 0; } .faint { color: var(--faint); }
@media print { body { padding: 0; max-width: none; font-size: 10pt; } .scroll { overflow: visible; }
  figure svg { min-width: 0; } tr { break-inside: avoid; } details:not([open]) { display: none; } }
`;
