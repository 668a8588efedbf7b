import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RunFailed } from "../../../automation/index.ts";
import { Trial } from "./trial.ts";

let trial: Trial;
beforeEach(() => {
  trial = new Trial();
});
afterEach(() => {
  vi.unstubAllEnvs();
  trial.close();
});

/** Puts a program in the place of the CLI, alone on the PATH but for what a script needs. */
function onPath(script?: string): void {
  const folder = path.join(trial.folder, "bin");
  mkdirSync(folder);
  if (script !== undefined) {
    writeFileSync(path.join(folder, "pulumi"), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(folder, "pulumi"), 0o755);
  }
  vi.stubEnv("PATH", folder);
}

test("without a CLI on the PATH, every run says so and how to get one", async () => {
  onPath();
  const failure = await trial
    .stack()
    .up()
    .catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(RunFailed);
  expect((failure as RunFailed).problems).toEqual([
    expect.stringMatching(
      /^this needs the Pulumi CLI, and no program "pulumi" is on the PATH\.\nremedy: install/,
    ),
  ]);
  await expect(trial.stack().outputs()).rejects.toThrow('no program "pulumi" is on the PATH');
});

test("a CLI that is too old is named with its version and the one that is needed", async () => {
  onPath("echo v3.205.0");
  await expect(trial.stack().preview()).rejects.toThrow(
    "the Pulumi CLI on the PATH is 3.205.0; this needs 3.206.0 or newer.\nremedy: install",
  );
});

test("a CLI that answers nonsense when asked for its version is told with what it said", async () => {
  onPath("echo broken pipe >&2; exit 3");
  await expect(trial.stack().up()).rejects.toThrow("broken pipe");
});

test("what the CLI says before it runs is the problem, without the configuration's secrets", async () => {
  onPath(`test "$1" = version && echo v3.260.0 && exit
echo "error: no space left for open sesame, please" >&2; exit 255`);
  const failure = (await trial
    .stack()
    .up()
    .catch((error: unknown) => error)) as RunFailed;
  expect(failure.problems).toEqual(["pulumi stack failed: no space left for [secret]"]);
});

test("the lock of another run is told with its holder and a remedy", async () => {
  onPath(`test "$1" = version && echo v3.260.0 && exit
echo "error: the stack is currently locked by 1 lock(s). Either wait or delete the lock file." >&2
echo "  file:///x: created by ann@host (pid 7) at noon" >&2; exit 255`);
  await expect(trial.stack().up()).rejects.toThrow(
    "stack organization/trial/one is being changed by another run (created by ann@host (pid 7) at noon).\n" +
      `remedy: wait until it has ended. If it has died: PULUMI_BACKEND_URL='file://${trial.workFolder}/backend' ` +
      "pulumi cancel -s organization/trial/one",
  );
});

test("the CLI finds the node that runs this, its passphrase and where the states are", async () => {
  onPath(`test "$1" = version && echo v3.260.0 && exit
echo "$PATH|$PULUMI_BACKEND_URL|$PULUMI_CONFIG_PASSPHRASE|$TRIAL_VARIABLE|$PULUMI_SKIP_UPDATE_CHECK" >&2; exit 255`);
  const failure = (await trial
    .stack({ backendUrl: "file:///elsewhere" })
    .up()
    .catch((error: unknown) => error)) as RunFailed;
  const [found, ...rest] = failure.problems[0]?.replace("pulumi stack failed: ", "").split("|") ?? [];
  expect(found?.split(":")).toContain(path.dirname(process.execPath));
  expect(rest).toEqual(["file:///elsewhere", "correct horse", "from outside", "true"]);
});
