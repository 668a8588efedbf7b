import type { Figure, Measured } from "./measure.ts";
import type { Missing } from "./peers.ts";
import { difference, type Goal, middle, ratio, reached } from "./statistics.ts";
import { NAMES, type TargetName } from "./targets.ts";

/** What the issue "Gateway core" asks for, under "Speed". */
interface Wanted {
  readonly what: string;
  readonly figure: Figure;
  readonly against: TargetName;
  readonly by: "ratio" | "difference";
  readonly goal: Goal;
}

const least = (value: number): Goal => ({ at: "least", value });
const most = (value: number): Goal => ({ at: "most", value });
const requests = { figure: "requestsPerSecond", by: "ratio" } as const;
const added = { against: NAMES.model, by: "difference" } as const;

export const WANTED: readonly Wanted[] = [
  { what: "requests/s to nginx's", against: NAMES.nginx, goal: least(0.3), ...requests },
  { what: "requests/s to Portkey's", against: NAMES.portkey, goal: least(10), ...requests },
  { what: "requests/s to LiteLLM's", against: NAMES.litellm, goal: least(120), ...requests },
  { what: "added latency, p50 (ms)", figure: "p50Ms", goal: most(1), ...added },
  { what: "added latency, p99 (ms)", figure: "p99Ms", goal: most(4), ...added },
  { what: "first chunk added, p50 (ms)", figure: "firstChunkP50Ms", goal: most(0.8), ...added },
  {
    what: "CPU per streamed chunk to nginx's",
    figure: "cpuMicrosecondsPerChunk",
    against: NAMES.nginx,
    by: "ratio",
    goal: most(2.5),
  },
];

/** One figure beside its goal. */
export interface Result {
  readonly what: string;
  /** Undefined where one of the two was not measured. */
  readonly value: number | undefined;
  readonly goal: Goal;
  readonly reached: boolean | undefined;
}

/** One target's own figures: CPU of its least disturbed round, of all others the median. */
export interface Row {
  readonly target: TargetName;
  readonly figures: Readonly<Partial<Record<Figure, number>>>;
  readonly errors: number;
}

export interface Report {
  readonly results: readonly Result[];
  readonly rows: readonly Row[];
  readonly missing: readonly Missing[];
  readonly loadAverage: readonly number[];
}

export function toReport(measured: Measured, missing: readonly Missing[]): Report {
  return {
    results: WANTED.map((wanted) => toResult(wanted, measured)),
    rows: Object.values(NAMES)
      .filter((name) => measured.samples.some(({ target }) => target === name))
      .map((target) => toRow(target, measured)),
    missing,
    loadAverage: measured.loadAverage,
  };
}

function valuesOf({ samples }: Measured, target: TargetName, figure: Figure): number[] {
  return samples
    .filter((sample) => sample.target === target && sample.figure === figure)
    .map(({ value }) => value);
}

function toResult({ what, figure, against, by, goal }: Wanted, measured: Measured): Result {
  const ours = valuesOf(measured, NAMES.full, figure);
  const theirs = valuesOf(measured, against, figure);
  if (ours.length === 0 || theirs.length === 0) return { what, value: undefined, goal, reached: undefined };
  const value = by === "ratio" ? ratio({ ours, theirs }) : difference({ ours, theirs });
  return { what, value, goal, reached: reached(value, goal) };
}

function toRow(target: TargetName, measured: Measured): Row {
  const figures: Partial<Record<Figure, number>> = {};
  for (const { figure } of COLUMNS) {
    const values = valuesOf(measured, target, figure);
    // A busy machine only ever adds to what work costs.
    if (values.length > 0) figures[figure] = figure.startsWith("cpu") ? Math.min(...values) : middle(values);
  }
  return { target, figures, errors: measured.errors[target] ?? 0 };
}

interface Column {
  readonly figure: Figure;
  readonly head: string;
  readonly digits: number;
}

const COLUMNS: readonly Column[] = [
  { figure: "requestsPerSecond", head: "requests/s", digits: 0 },
  { figure: "cpuMicrosecondsPerRequest", head: "CPU µs/request", digits: 1 },
  { figure: "p50Ms", head: "p50 ms", digits: 2 },
  { figure: "p99Ms", head: "p99 ms", digits: 2 },
  { figure: "firstChunkP50Ms", head: "first chunk ms", digits: 2 },
  { figure: "cpuMicrosecondsPerChunk", head: "CPU µs/chunk", digits: 2 },
];

/** The report as people read it. */
export function toLines({ results, rows, missing, loadAverage }: Report): string[] {
  const head = ["", ...COLUMNS.map((column) => column.head), "errors"];
  const table = rows.map(({ target, figures, errors }) => [
    target,
    ...COLUMNS.map(({ figure, digits }) => figures[figure]?.toFixed(digits) ?? "-"),
    String(errors),
  ]);
  const wanted = results.map(({ what, value, goal, reached: isReached }) => [
    what,
    value === undefined ? "not measured" : value.toFixed(2),
    `${goal.at === "least" ? ">=" : "<="} ${goal.value}`,
    isReached === undefined ? "" : isReached ? "reached" : "missed",
  ]);
  return [
    ...aligned([head, ...table]),
    "",
    ...aligned([["full profile", "figure", "goal", ""], ...wanted]),
    "",
    `load average of the machine as each round began: ${loadAverage.map((value) => value.toFixed(1)).join(", ")}`,
    ...missing.map(({ name, missing: reason }) => `not measured: ${name}, ${reason}`),
  ];
}

/** Columns as wide as their widest cell, the first to the left and the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
}
