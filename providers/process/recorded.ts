import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readPidFile, removePidFile } from "./pid-file.ts";
import { stopProcess } from "./stop.ts";

const DRAIN_SECONDS = 10;

/**
 * Ends every process that a folder's pid files name: for a state that is lost or cannot be read.
 * @returns how many pid files there were.
 */
export async function stopRecordedProcesses(pidDir: string): Promise<number> {
  if (!existsSync(pidDir)) return 0;
  const files = readdirSync(pidDir).filter((name) => name.endsWith(".pid"));
  await Promise.all(
    files.map(async (name) => {
      const file = join(pidDir, name);
      const record = readPidFile(file);
      if (record) await stopProcess(record, DRAIN_SECONDS);
      removePidFile(file);
    }),
  );
  return files.length;
}
