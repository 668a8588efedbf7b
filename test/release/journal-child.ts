import { initial } from "../../release/decisions.ts";
import { FileJournal, JournalConflict } from "../../release/journal.ts";

/** Appends decisions beside another process that does the same: `journal-child.ts <folder> <name> <count>`. */
const [folder = "", name = "", count = "0"] = process.argv.slice(2);
const journal = new FileJournal(folder);
for (let done = 0; done < Number(count); ) {
  try {
    const revision = journal.latest()?.revision ?? 0;
    journal.append(revision, { ...initial({ release: "abc" }), text: `${name} ${done}` });
    done += 1;
  } catch (error) {
    if (!(error instanceof JournalConflict)) throw error;
  }
}
