import { access, mkdir, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where what is fetched on demand lies: outside the repository, shared by all its checkouts. */
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "llm-platform");

/**
 * The folder of something that is fetched once. A fetch that was cut short is done again.
 * @param name holds the version: another version is another folder
 */
export async function cached(name: string, fetch: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(CACHE, name);
  const complete = join(folder, ".complete");
  if (await exists(complete)) return folder;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await fetch(folder);
  await writeFile(complete, "");
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
