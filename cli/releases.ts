import pc from "picocolors";
import { nameOf } from "../release/decisions.ts";
import { changesOf, type HistoryEntry, historyOf } from "../release/history.ts";
import { plainText } from "../release/report/text.ts";
import { environmentOption } from "./options.ts";
import { files } from "./platform.ts";
import { openJournal } from "./site.ts";

const OUTCOME = { released: pc.green, "rolled back": pc.red, "under way": pc.yellow };

/** `npm run releases -- local`: what was released, by whom, what changed, and what came of it. */
export async function releases(args: string[]): Promise<void> {
  const { json } = environmentOption(args, { json: { type: "boolean" } });
  const history = historyOf(openJournal().entries());
  if (json) console.log(JSON.stringify(history.map(summaryOf), null, 2));
  else if (history.length === 0) console.log("Nothing was released here yet.");
  else console.log(history.map(describe).join("\n\n"));
}

function summaryOf(entry: HistoryEntry) {
  const { number, release, previous, to, by, at, strategy, outcome, verdict } = entry;
  return {
    number,
    ...release,
    previous: previous?.release,
    color: to,
    by,
    at,
    strategy,
    outcome,
    verdict,
    changes: changesOf(entry, files().snapshots),
  };
}

function describe(entry: HistoryEntry): string {
  const { number, release, to, by, at, strategy, outcome, verdict } = entry;
  const when = at.slice(0, 19).replace("T", " ");
  const head = `${pc.bold(`#${number}`)}  ${plainText(nameOf(release))}  onto ${to}  ${OUTCOME[outcome](outcome)}`;
  return [
    head,
    `    ${when} UTC by ${plainText(by)}${strategy ? `, ${strategy}` : ""}`,
    `    changed: ${changesOf(entry, files().snapshots).map(plainText).join(", ") || "nothing"}`,
    `    ${plainText(verdict)}`,
  ].join("\n");
}
