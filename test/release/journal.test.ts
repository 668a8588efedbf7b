import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { initial } from "../../release/decisions.ts";
import { FileJournal, JournalConflict } from "../../release/journal.ts";

let folder: string;

beforeEach(() => {
  folder = path.join(mkdtempSync(path.join(tmpdir(), "journal-")), "journal");
});
afterEach(() => rmSync(path.dirname(folder), { recursive: true, force: true }));

const NAMES = ["a", "b", "c", "d"];
const COUNT = 60;

const decision = (text: string) => ({ ...initial({ release: "abc" }), text });

describe("a release journal", () => {
  test("that was never written has no latest decision", () => {
    expect(new FileJournal(folder).latest()).toBeUndefined();
    expect(new FileJournal(folder).entries()).toEqual([]);
  });

  test("append, then another reader finds the decision with who and when", () => {
    new FileJournal(folder).append(0, decision("first"));
    const found = new FileJournal(folder).latest();
    expect(found).toMatchObject({ revision: 1, text: "first", by: expect.stringMatching(/.@./) });
    expect(Date.now() - Date.parse(found?.at ?? "")).toBeLessThan(60_000);
  });

  test("append on an old revision, then it is refused and nothing is written", () => {
    const journal = new FileJournal(folder);
    journal.append(0, decision("first"));
    expect(() => journal.append(0, decision("late"))).toThrow(JournalConflict);
    expect(journal.entries().map(({ text }) => text)).toEqual(["first"]);
  });

  test("append beyond the latest revision, then it is refused: no gap can be made", () => {
    expect(() => new FileJournal(folder).append(3, decision("early"))).toThrow(JournalConflict);
  });

  test("what a crash left half written is not read", () => {
    const journal = new FileJournal(folder);
    journal.append(0, decision("first"));
    writeFileSync(path.join(folder, ".00000002.json.1.x"), "{");
    expect(journal.latest()?.text).toBe("first");
    journal.append(1, decision("second"));
    expect(journal.latest()?.text).toBe("second");
  });

  test("an entry that is no entry, then the error names the file and the remedy", () => {
    const journal = new FileJournal(folder);
    journal.append(0, decision("first"));
    writeFileSync(path.join(folder, "00000002.json"), "{}");
    expect(() => journal.latest()).toThrow(/00000002\.json is no entry .*\n.*remedy: restore the file/s);
  });

  test("an old entry that is no entry is left out of the history, and the latest still counts", () => {
    const journal = new FileJournal(folder);
    for (const [index, text] of ["first", "second", "third"].entries()) journal.append(index, decision(text));
    writeFileSync(path.join(folder, "00000002.json"), "{");
    expect(journal.entries().map(({ text }) => text)).toEqual(["first", "third"]);
    journal.append(3, decision("fourth"));
    expect(journal.latest()?.text).toBe("fourth");
  });

  test("four processes that append as fast as they can, then every revision has one writer and none is lost", async () => {
    const child = path.join(import.meta.dirname, "journal-child.ts");
    const writers = NAMES.map((name) => fork(child, [folder, name, String(COUNT)]));
    const codes = await Promise.all(writers.map(async (writer) => (await once(writer, "exit"))[0]));
    expect(codes).toEqual(NAMES.map(() => 0));
    const entries = new FileJournal(folder).entries();
    expect(entries.map(({ revision }) => revision)).toEqual(
      Array.from({ length: NAMES.length * COUNT }, (_, index) => index + 1),
    );
    for (const name of NAMES) {
      expect(entries.filter(({ text }) => text.startsWith(name)).map(({ text }) => text)).toEqual(
        Array.from({ length: COUNT }, (_, index) => `${name} ${index}`),
      );
    }
    expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  });
});
