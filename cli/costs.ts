import { Admin, readAsked, show, table } from "./admin.ts";

const FILTERS = ["tenant", "from", "to", "by"];
const text = { type: "string" } as const;
const FIGURES = ["requests", "promptTokens", "completionTokens", "amount", "tax", "total"];

type Row = Readonly<Record<string, unknown>>;

/** `npm run platform -- costs show`: what requests cost, by day and tenant unless `--by` says other groups. */
export async function costs(args: string[]): Promise<void> {
  const asked = readAsked(args, ["show"], Object.fromEntries(FILTERS.map((name) => [name, text])));
  const query = new URLSearchParams();
  for (const name of FILTERS) {
    const value = asked.text(name);
    if (value !== undefined) query.set(name, value);
  }
  const report = await (await Admin.open()).ask("GET", `/costs?${query}`);
  show(asked, report, () => describe(report));
}

function describe(report: Row): string {
  const rows = report.data as readonly Row[];
  const sum = report.sum as Row;
  const figures = FIGURES.filter((name) => name in sum);
  const groups = Object.keys(rows[0] ?? {}).filter((name) => !(name in sum));
  const cells = (row: Row, names: readonly string[]) => names.map((name) => row[name] ?? "-");
  const lines = rows.map((row) => [...cells(row, groups), ...cells(row, figures)]);
  const titles = [...groups, ...figures];
  const last = rows.length === 0 ? [] : [[...groups.map(() => ""), ...cells(sum, figures)]];
  const unpriced = (report.unpricedModels as readonly string[] | undefined) ?? [];
  const warning = unpriced.length === 0 ? "" : `\nWithout a price, so refused: ${unpriced.join(", ")}`;
  return `${report.from} to ${report.to}, in ${report.currency}\n${table(titles, [...lines, ...last])}${warning}`;
}
