import { describe, expect, test } from "vitest";
import type { Entry } from "../../release/contract/files.ts";
import { planOf, rolloutSettings } from "../../release/contract/strategy.ts";
import { finished, initial, removed, requested, takenBack, toStage } from "../../release/decisions.ts";
import { historyOf, neededReleases } from "../../release/history.ts";
import type { Decision } from "../../release/journal.ts";

const plan = planOf(rolloutSettings.parse({}));

/** A journal as decisions made it. */
class Told {
  readonly entries: Entry[] = [];

  add(decision: Decision): void {
    const revision = this.entries.length + 1;
    this.entries.push({
      revision,
      at: `2026-01-01T00:00:0${revision % 10}.000Z`,
      by: "ann@host",
      ...decision,
    });
  }

  get head() {
    const head = this.entries.at(-1)?.head;
    if (!head) throw new Error("nothing was told yet");
    return head;
  }

  release(id: string, end: "finished" | "taken back"): void {
    this.add(requested(this.head, { release: id }, plan));
    const { rollout } = this.head;
    if (!rollout) throw new Error("no release is under way");
    if (end === "taken back") this.add(takenBack(this.head, rollout, "it was slow"));
    else {
      this.add({ kind: "checked", text: "", head: toStage(this.head, rollout, 0) });
      this.add({ kind: "finished", text: "all proven", head: finished(this.head, rollout) });
    }
  }
}

function told(): Told {
  const journal = new Told();
  journal.add(initial({ release: "r0" }));
  return journal;
}

describe("the history of a journal", () => {
  test("tells each release once, with its outcome and why", () => {
    const journal = told();
    journal.release("r1", "finished");
    journal.release("r2", "taken back");
    expect(
      historyOf(journal.entries).map(({ release, outcome, verdict, to }) => [
        release.release,
        outcome,
        verdict,
        to,
      ]),
    ).toEqual([
      ["r0", "released", "blue serves release r0", "blue"],
      ["r1", "released", "all proven", "green"],
      ["r2", "rolled back", "back to green: it was slow", "blue"],
    ]);
  });

  test("of a release that is neither done nor taken back says that it is under way", () => {
    const journal = told();
    journal.add(requested(journal.head, { release: "r1", label: "one" }, plan));
    expect(historyOf(journal.entries).at(-1)).toMatchObject({
      outcome: "under way",
      release: { release: "r1", label: "one" },
      previous: { release: "r0" },
      strategy: "blue-green",
    });
  });

  test("of an empty journal is empty", () => {
    expect(historyOf([])).toEqual([]);
  });
});

describe("the releases that are needed", () => {
  test("are the last ones, and what the colors serve however old it is", () => {
    const journal = told();
    journal.release("r1", "finished");
    for (const id of ["r2", "r3", "r4"]) {
      journal.release(id, "taken back");
      journal.add(removed(journal.head, "blue", ""));
    }
    expect([...(neededReleases(journal.entries, 2) ?? [])].sort()).toEqual(["r1", "r3", "r4"]);
  });

  test("of a journal with a gap are not known: nothing may be removed by it", () => {
    const journal = told();
    journal.release("r1", "finished");
    expect(neededReleases(journal.entries.slice(1), 2)).toBeUndefined();
  });
});
