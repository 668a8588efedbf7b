import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { errorCode, explain } from "./errors.ts";

const contents = z.object({
  pid: z.int().positive(),
  identity: z.string().min(1),
  ports: z.record(z.string(), z.int()),
  startedAt: z.string(),
});

export type PidFile = z.infer<typeof contents>;

/** What the file says, or undefined when there is none or when it is not one of ours. */
export function readPidFile(path: string): PidFile | undefined {
  try {
    const result = contents.safeParse(JSON.parse(readFileSync(path, "utf8")));
    return result.success ? result.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR")
      return undefined;
    throw explain(`cannot read pid file ${path}`, error);
  }
}

/** Writes the file whole or not at all. */
export function writePidFile(path: string, record: PidFile): void {
  const unfinished = `${path}.new`;
  try {
    writeFileSync(unfinished, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw explain(`cannot write pid file ${path}`, error);
  }
}

export function removePidFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw explain(`cannot remove pid file ${path}`, error);
  }
}

export function makePidFolder(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw explain(`cannot make the folder of pid file ${path}`, error);
  }
}
