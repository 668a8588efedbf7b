import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { z } from "zod";

const SCHEME = "file://";
const lockSchema = z.object({ pid: z.int().positive(), hostname: z.string() });

/**
 * Removes the locks that a killed CLI has left on a stack whose state is kept in files. A lock of another machine,
 * or of a process that lives, stays.
 */
export function removeDeadLocks(backend: string, stack: string): void {
  if (!backend.startsWith(SCHEME)) return;
  const folder = path.join(backend.slice(SCHEME.length), ".pulumi/locks", stack);
  if (!existsSync(folder)) return;
  const locks = readdirSync(folder).filter((name) => name.endsWith(".json"));
  for (const lock of locks.map((name) => path.join(folder, name))) {
    const owner = lockSchema.safeParse(JSON.parse(readFileSync(lock, "utf8")));
    if (!owner.success || owner.data.hostname !== hostname() || isAlive(owner.data.pid)) continue;
    rmSync(lock, { force: true });
    rmSync(`${lock}.attrs`, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
