import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EMBEDDER, KEY, MODEL } from "../support.ts";
import { type Platform, startPlatform } from "./models.ts";
import { preparePython, run } from "./python.ts";

const SUITE = fileURLToPath(new URL("suite.py", import.meta.url));

const python = await preparePython();
const reason = "missing" in python ? ` (skipped: ${python.missing})` : "";

describe.skipIf(reason !== "")(`the OpenAI SDK for Python${reason}`, () => {
  let platform: Platform;

  beforeAll(async () => {
    platform = await startPlatform();
  });

  afterAll(async () => {
    await platform?.close();
  });

  test("passes its suite unchanged", async () => {
    if ("missing" in python) throw new Error(python.missing);
    const env = { MODEL, EMBEDDER, KEY, ENGINE: platform.chatEngine, GATEWAY: platform.gateway.url };
    const { stderr } = await run(python.executable, [SUITE], { env, timeout: 50_000 }).catch(
      (error: { stderr: string }) => error,
    );
    expect(stderr).toMatch(/^Ran 12 tests in .*\n\nOK\n$/m);
  });
});
