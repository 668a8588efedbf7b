import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";

const ownerSchema = z.object({
  pid: z.int().positive(),
  /** When the process started, so that another process that got the same id later is not taken for it. */
  identity: z.string(),
  since: z.string(),
});
type Owner = z.infer<typeof ownerSchema>;

/** Linux tells when a process started, and whether it has ended; elsewhere the process id alone has to do. */
function identityOf(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the command in parentheses, may hold spaces; the state is the third, the start time the 22nd.
    const [state, ticks] = [0, 19].map((index) => stat.slice(stat.lastIndexOf(")") + 2).split(" ")[index]);
    // What nobody collects may stay as a zombie for ever, and holds nothing.
    if (state === "Z") return undefined;
    // The ticks count from the start of the machine.
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}:${ticks}`;
  } catch {
    return "";
  }
}

function readOwner(file: string): Owner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`the lock ${file} cannot be read: ${(error as Error).message}\nremedy: delete the file.`);
  }
}

const isAlive = (owner: Owner) => identityOf(owner.pid) === owner.identity;

/** Creates `file` with its whole content in one step; false where it exists. */
function claim(file: string): boolean {
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const owner: Owner = {
    pid: process.pid,
    identity: identityOf(process.pid) ?? "",
    since: new Date().toISOString(),
  };
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Removes the lock of a dead owner. A second lock guards this, so that two runs do not remove each other's. */
function removeStale(file: string): void {
  const guard = `${file}.takeover`;
  const holder = readOwner(guard);
  if (holder && !isAlive(holder)) rmSync(guard, { force: true });
  if (!claim(guard)) return;
  try {
    const owner = readOwner(file);
    if (owner && !isAlive(owner)) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/**
 * Takes a lock; one whose owner has died is taken over.
 * @param subject what the lock guards, for the error's text.
 * @returns a function that gives the lock back.
 * @throws when another live process holds it.
 */
export function lock(file: string, subject: string): () => void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  if (!claim(file)) {
    removeStale(file);
    if (!claim(file)) {
      const owner = readOwner(file);
      const who = owner ? `process ${owner.pid}, since ${owner.since}` : "another process";
      throw new Error(
        `${subject} is being changed by ${who} (${file}).\nremedy: wait until it has ended, then run the command again.`,
      );
    }
  }
  return () => rmSync(file, { force: true });
}
