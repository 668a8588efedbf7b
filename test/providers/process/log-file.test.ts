import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { logTail, mask } from "../../../providers/process/log-file.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "log-test-"));
  path = join(folder, "web.log");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("what is shown of a log", () => {
  test("mask, when one secret begins with another, then nothing of the longer one is left", () => {
    expect(mask("key abcdef", ["abc", "abcdef"])).toBe("key [secret]");
  });

  test("mask, with an empty secret, then the text stays", () => {
    expect(mask("key", ["", "\n"])).toBe("key");
  });

  test("logTail, when the part that is read begins in the middle of a secret, then its rest is not shown", () => {
    const secret = "s3cret-".repeat(100);
    writeFileSync(path, `${secret}\n${"x".repeat(64 * 1024 - 200)}\nlast line\n`);
    const lines = logTail(path, 0, [secret]);
    expect(lines.join("\n")).not.toContain("s3cret");
    expect(lines.at(-1)).toBe("last line");
  });

  test("logTail, with a very long line, then it is cut after the secrets are replaced", () => {
    writeFileSync(path, `${"a".repeat(295)}s3cret-token${"b".repeat(500)}\n`);
    const [line] = logTail(path, 0, ["s3cret-token"]);
    expect(line).not.toContain("s3");
    expect(line).toHaveLength(301);
  });

  test("logTail, without a log or with nothing in it, then there are no lines", () => {
    expect(logTail(path, 0, [])).toEqual([]);
    writeFileSync(path, "\n\n");
    expect(logTail(path, 0, [])).toEqual([]);
  });
});
