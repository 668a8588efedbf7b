import { chmodSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import { stateFolder } from "./settings.ts";

/** Tells a state folder from any other, so that a purge never removes what is not ours. */
export const MARKER = "platform-state";

export const isStateFolder = (): boolean => existsSync(path.join(stateFolder(), MARKER));

/** Makes the state folder, or takes an empty one. @returns whether the folder is one of a platform now. */
export function claimStateFolder(): boolean {
  const folder = stateFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (isStateFolder()) return true;
  if (readdirSync(folder).length > 0) return false;
  chmodSync(folder, 0o700);
  writeFileAtomic.sync(path.join(folder, MARKER), "Made by a platform; npm stop -- --purge removes it.\n");
  return true;
}
