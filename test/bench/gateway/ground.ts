import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Ground } from "./gateways.ts";
import { onPath, Processes } from "./processes.ts";

// wrk -v exits with 1 but prints its version.
const NEEDED = [
  ["wrk", "-v"],
  ["nginx", "-v"],
] as const;

/** Gives the work a folder and processes, and ends both after it; undefined where a program is missing, which it tells. */
export async function withGround<T>(work: (ground: Ground) => Promise<T>): Promise<T | undefined> {
  for (const [program, flag] of NEEDED) {
    if (await onPath(program, flag)) continue;
    console.log(`gateway: not measured, ${program} is not on PATH`);
    return undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), "gateway-bench-"));
  const processes = new Processes();
  try {
    return await work({ processes, folder });
  } finally {
    await processes.close();
    await rm(folder, { recursive: true, force: true });
  }
}
