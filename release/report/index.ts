import { mkdir } from "node:fs/promises";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import type { ReleaseReport } from "../samples.ts";
import { page } from "./page.ts";

/** What a release did, as one HTML file that needs neither a network nor scripts. */
export function renderReport(report: ReleaseReport): string {
  return page(report).text;
}

/**
 * Writes the report, whole or not at all, for its owner to read.
 * @param file its path, such as `<rollouts>/7/report.html`
 */
export async function writeReport(file: string, report: ReleaseReport): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, renderReport(report), { mode: 0o600 });
}
