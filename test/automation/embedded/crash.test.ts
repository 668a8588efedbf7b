import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DurableWorld, durableStack, NAMES } from "./crash-world.ts";

const CHILD = path.join(import.meta.dirname, "crash-child.ts");
/** More checkpoints than any of the runs has; reaching it would mean that a run never ends. */
const LIMIT = 200;

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "crash-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** @returns whether the run was killed before it ended. */
async function killedAt(
  folder: string,
  version: string,
  operation: string,
  checkpoint: number,
): Promise<boolean> {
  const child = spawn(process.execPath, [CHILD, folder, version, operation, String(checkpoint)], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code, signal] = await once(child, "exit");
  if (signal !== "SIGKILL") expect(code).toBe(0);
  return signal === "SIGKILL";
}

function things(folder: string): string[] {
  return new DurableWorld(folder)
    .entries()
    .map(({ bag }) => String(bag.name))
    .sort();
}

const bringUp = (folder: string, version: string) =>
  durableStack(folder, version, new DurableWorld(folder)).up();

describe.each([
  { from: "first", to: "second", operation: "up" },
  { from: "first", to: "first", operation: "destroy" },
])("a run of $operation from $from to $to, killed at every point in turn", ({ from, to, operation }) => {
  test("leaves nothing behind that the next run does not find", { timeout: 300_000 }, async () => {
    const start = path.join(root, operation);
    await bringUp(start, from);
    let checkpoint = 1;
    for (; checkpoint < LIMIT; checkpoint++) {
      const folder = `${start}-${checkpoint}`;
      cpSync(start, folder, { recursive: true });
      const killed = await killedAt(folder, to, operation, checkpoint);
      // What was under way is finished by one copy and torn down by the other: both must end without a trace.
      if (killed) cpSync(folder, `${folder}-destroyed`, { recursive: true });
      await bringUp(folder, to);
      expect(things(folder), `up after a kill at checkpoint ${checkpoint}`).toEqual(NAMES[to]);
      if (!killed) break;
      await durableStack(`${folder}-destroyed`, to, new DurableWorld(`${folder}-destroyed`)).destroy();
      expect(things(`${folder}-destroyed`), `destroy after a kill at checkpoint ${checkpoint}`).toEqual([]);
    }
    expect(checkpoint).toBeGreaterThan(10);
    expect(checkpoint).toBeLessThan(LIMIT);
  });
});
