import { closeSync, fstatSync, mkdirSync, openSync, readSync } from "node:fs";
import { dirname } from "node:path";
import { errorCode, explain } from "./errors.ts";

const TAIL_BYTES = 64 * 1024;
const TAIL_LINES = 20;
const LINE_LENGTH = 300;

/** A log opened for appending, and where this run's part begins. */
export interface LogFile {
  readonly path: string;
  readonly fd: number;
  readonly start: number;
}

export function openLog(path: string): LogFile {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(path, "a", 0o600);
    return { path, fd, start: fstatSync(fd).size };
  } catch (error) {
    throw explain(`cannot open log file ${path}`, error);
  }
}

/** The last lines that were written from `start` on, with every secret text replaced. */
export function logTail(path: string, start: number, secrets: readonly string[]): string[] {
  const { text, isWhole } = readEnd(path, start);
  const lines = mask(text, secrets).split(/\r?\n/);
  // The first line of a part may be the end of a secret that its beginning would have given away.
  if (!isWhole) lines.shift();
  const full = lines.filter((line) => line.trim() !== "").slice(-TAIL_LINES);
  return full.map((line) => (line.length > LINE_LENGTH ? `${line.slice(0, LINE_LENGTH)}…` : line));
}

/** Replaces secret texts, also in the forms in which JSON, URLs and line by line output show them. */
export function mask(text: string, secrets: readonly string[]): string {
  const forms = new Set(
    secrets.flatMap((value) => [
      value,
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value.toWellFormed()),
      ...value.split(/\r?\n/),
    ]),
  );
  const longestFirst = [...forms].filter((form) => form.trim() !== "").sort((a, b) => b.length - a.length);
  return longestFirst.reduce((masked, form) => masked.replaceAll(form, "[secret]"), text);
}

function readEnd(path: string, start: number): { text: string; isWhole: boolean } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { text: "", isWhole: true };
    throw explain(`cannot read log file ${path}`, error);
  }
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(start, size - TAIL_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    const length = readSync(fd, buffer, 0, buffer.length, from);
    return { text: buffer.toString("utf8", 0, length), isWhole: from === start };
  } finally {
    closeSync(fd);
  }
}
