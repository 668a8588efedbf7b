import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { EmbeddedStack } from "../../automation/embedded/index.ts";
import { type Observation, type Open, observeCase } from "./observe.ts";
import program from "./program.ts";
import { FileWorld } from "./provider/world.ts";

/** Runs a case with the embedded runner. */
export async function observeEmbedded(name: string): Promise<Observation[]> {
  const folder = mkdtempSync(path.join(tmpdir(), "conformance-"));
  const world = new FileWorld(path.join(folder, "world.json"));
  const open: Open = (args) =>
    new EmbeddedStack({
      ...args,
      project: "conformance",
      program,
      providers: { conformance: world },
      stateFolder: path.join(folder, "stacks"),
      passphrase: "correct horse",
    });
  try {
    return await observeCase(name, { open, world });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
