import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { renderReport, writeReport } from "../../../release/report/index.ts";
import { report, sampleAt } from "./support.ts";

let folder: string;
const whole = report({ samples: [sampleAt(0), sampleAt(1)] });

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "report-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("a report is written as it is rendered, for its owner alone", async () => {
  const file = path.join(folder, "7.html");
  await writeReport(file, whole);
  expect(readFileSync(file, "utf8")).toBe(renderReport(whole));
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("whoever reads the report before keeps it whole while it is replaced, and nothing else is left", async () => {
  const file = path.join(folder, "7.html");
  writeFileSync(file, "the report before");
  const reader = openSync(file, "r");
  try {
    await writeReport(file, whole);
    expect(readFileSync(reader, "utf8")).toBe("the report before");
  } finally {
    closeSync(reader);
  }
  expect(readFileSync(file, "utf8")).toBe(renderReport(whole));
  expect(readdirSync(folder)).toEqual(["7.html"]);
});

test("a folder that is missing is made", async () => {
  await writeReport(path.join(folder, "none", "7.html"), whole);
  expect(readdirSync(path.join(folder, "none"))).toEqual(["7.html"]);
});
