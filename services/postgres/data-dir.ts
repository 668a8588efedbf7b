import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Another process has the data open. */
export class DataDirInUseError extends Error {}

export interface DataDir {
  /** Where PGlite keeps its files. */
  readonly database: string;
  release(): void;
}

/**
 * Makes this process the only user of the folder: two PGlite processes on the same files destroy them, and PGlite
 * takes no lock itself. The lock is one that SQLite holds in the operating system, so it ends with its process however
 * that ends, and no stale one is ever left to be judged.
 */
export function openDataDir(path: string): DataDir {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(path, "lock.sqlite"));
  try {
    lock.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if (!(error instanceof Error && "errcode" in error && error.errcode === 5)) throw error;
    throw new DataDirInUseError(
      `another process uses the data folder ${path}; remedy: stop it, or set another POSTGRES_DATA_DIR`,
    );
  }
  return { database: join(path, "data"), release: () => lock.close() };
}
