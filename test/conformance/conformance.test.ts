import { spawnSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { CASES } from "./cases.ts";
import { DIFFERENCES, expectedOf } from "./differences.ts";
import { observeEmbedded } from "./embedded.ts";
import { observeCli, readRecording } from "./record.ts";

/** The Pulumi CLI with its language host for Node.js: no package registry carries it, so it may be missing. */
const HAS_CLI = ["pulumi", "pulumi-language-nodejs"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);
const NAMES = Object.keys(CASES);

describe("the embedded runner", () => {
  test.each(NAMES)("%s: does what the CLI did, but for the differences that are named", async (name) => {
    const seen = JSON.parse(JSON.stringify(await observeEmbedded(name)));
    expect(seen).toEqual(expectedOf(name, readRecording(name).stages));
  });
});

describe("the differences that are named", () => {
  const shown = DIFFERENCES.flatMap(({ reason, where, instead }) =>
    Object.entries(where).flatMap(([name, stages]) =>
      stages.map((stage) => ({ title: `${name}, stage ${stage}: ${reason}`, name, stage, instead })),
    ),
  );

  test.each(shown)("$title", ({ name, stage, instead }) => {
    const { stages } = readRecording(name);
    const cli = stages[stage];
    if (!cli) throw new Error(`${name} has no stage ${stage}`);
    const around = { previous: stages[stage - 1] ?? cli, next: stages[stage + 1] ?? cli };
    expect(isDeepStrictEqual({ ...cli, ...instead(cli, around) }, cli)).toBe(false);
  });
});

describe.skipIf(!HAS_CLI)("the Pulumi CLI (needs pulumi and pulumi-language-nodejs on the PATH)", () => {
  test.each(NAMES)("%s: does what was recorded", { timeout: 240_000 }, async (name) => {
    expect((await observeCli(name)).stages).toEqual(readRecording(name).stages);
  });
});
