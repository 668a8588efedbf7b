import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type RunEvent, RunFailed } from "../../../automation/index.ts";
import { eventually, filesOf, HAS_CLI, isAlive, PASSWORD, PROJECT, Trial } from "./trial.ts";

const namesOf = (steps: readonly { operation: string; name: string }[]): string[] =>
  steps.map(({ operation, name }) => `${operation} ${name}`);

async function failureOf(run: Promise<unknown>): Promise<RunFailed> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RunFailed);
  return error as RunFailed;
}

describe.skipIf(!HAS_CLI)(
  "a stack of the Pulumi CLI (needs pulumi and pulumi-language-nodejs on the PATH)",
  {
    timeout: 180_000,
  },
  () => {
    let trial: Trial;
    beforeEach(() => {
      trial = new Trial();
    });
    afterEach(async () => {
      trial.set("open");
      const pids = trial.processes();
      for (const pid of pids) process.kill(pid, "SIGKILL");
      await eventually(() => !pids.some(isAlive));
      trial.close();
    }, 120_000);

    test("up brings the program up, tells each step, and gives secrets in clear and marked", async () => {
      const before = filesOf(PROJECT).map((file) => [file, readFileSync(file, "utf8")]);
      trial.set("open");
      trial.set("warn");
      const events: RunEvent[] = [];
      const { steps, outputs } = await trial.stack().up({ onEvent: (event) => events.push(event) });

      expect(namesOf(steps)).toEqual(["create default", "create key", "create server", "create trial-one"]);
      const ofServer = events.filter((event) => "name" in event && event.name === "server");
      expect(ofServer.map(({ kind }) => kind)).toEqual(["step-started", "step-finished"]);
      expect(steps.find(({ name }) => name === "server")?.milliseconds).toBeGreaterThan(50);
      expect(events).toContainEqual(
        expect.objectContaining({ kind: "warning", message: "the disk is nearly full" }),
      );
      expect(outputs).toEqual({
        key: { value: expect.stringMatching(/^key-.{40,}$/), secret: true },
        password: { value: PASSWORD, secret: true },
        pid: { value: expect.any(Number), secret: false },
        settings: { value: { deep: [1, "two"] }, secret: false },
        variable: { value: "from outside", secret: false },
      });
      expect(await trial.stack().outputs()).toEqual(outputs);
      const key = (await trial.stack().resources()).find(({ urn }) => urn.endsWith("::key"));
      expect(key).toMatchObject({
        type: "platform:secret:Secret",
        protect: true,
        inputs: { prefix: "key-" },
      });
      expect(JSON.stringify(key?.outputs)).toContain(outputs.key?.value);

      // What is secret is sealed in every file, and the project's own are as they were.
      expect(trial.written()).toContain("trial-one");
      expect(trial.written()).not.toContain(PASSWORD);
      expect(trial.written()).not.toContain(outputs.key?.value);
      expect(filesOf(PROJECT).map((file) => [file, readFileSync(file, "utf8")])).toEqual(before);

      const again = await trial.stack().up();
      expect(new Set(again.steps.map(({ operation }) => operation))).toEqual(new Set(["same"]));
      expect(again.outputs).toEqual(outputs);
    });

    test("preview changes nothing, and tells what only the run will know as unknown", async () => {
      const { steps, outputs } = await trial.stack().preview();
      expect(namesOf(steps)).toEqual(expect.arrayContaining(["create key", "create server"]));
      expect(outputs).toEqual({
        key: expect.objectContaining({ value: undefined, unknown: true }),
        password: { value: undefined, secret: true, unknown: true },
        pid: { value: undefined, secret: false, unknown: true },
        settings: { value: { deep: [1, "two"] }, secret: false },
        variable: { value: "from outside", secret: false },
      });
      expect(await trial.stack().outputs()).toBeUndefined();
      expect(await trial.stack().resources()).toEqual([]);
      expect(filesOf(trial.workFolder).filter((file) => file.includes("preview"))).toEqual([]);
    });

    test("a killed process is found by refresh and by up with refresh, and destroy spares what is protected", async () => {
      trial.set("open");
      const stack = trial.stack();
      const { outputs } = await stack.up();
      process.kill(outputs.pid?.value as number, "SIGKILL");
      const found = await stack.refresh();
      expect(namesOf(found.steps)).toContain("refresh server");
      expect((await stack.resources()).map(({ urn }) => urn.split("::").at(-1))).not.toContain("server");

      const healed = await stack.up({ refresh: true });
      expect(namesOf(healed.steps)).toContain("create server");
      expect(isAlive(healed.outputs.pid?.value as number)).toBe(true);

      const refused = await failureOf(stack.destroy());
      expect(refused.message).toContain("protect");
      const destroyed = await stack.destroy({ excludeProtected: true });
      expect((await stack.resources()).map(({ type }) => type)).toContain("platform:secret:Secret");
      expect(namesOf([...refused.steps, ...destroyed.steps])).toContain("delete server");
      expect(isAlive(healed.outputs.pid?.value as number)).toBe(false);
    });

    test("what fails is told by the engine's diagnostics, without any secret", async () => {
      trial.set("open");
      trial.set("leak");
      const first = await failureOf(trial.stack().up());
      const key = (await trial.stack().resources()).find(({ urn }) => urn.endsWith("::key"));
      const { value } = Object(key?.outputs?.value) as { value: string };
      expect(value).toMatch(/^key-/);
      // The key was made in the very run that tells it.
      expect(first.problems.join("\n")).toContain("cannot use [secret] and [secret]");
      expect(JSON.stringify(first)).not.toContain(value);

      const events: RunEvent[] = [];
      const second = await failureOf(trial.stack().up({ onEvent: (event) => events.push(event) }));
      expect(events).toContainEqual(
        expect.objectContaining({ kind: "warning", message: "trying [secret] and [secret]" }),
      );
      const told = JSON.stringify([second.message, second, events]);
      expect(told).not.toContain(PASSWORD);
      expect(told).not.toContain(value);
    });

    test("a run that is interrupted lets its steps end, says so, and the next one goes on", async () => {
      const controller = new AbortController();
      const run = failureOf(trial.stack().up({ signal: controller.signal }));
      await eventually(() => trial.log().includes("waiting"));
      controller.abort();
      const failure = await run;
      expect(failure.problems[0]).toMatch(/^interrupted/);
      expect(namesOf(failure.steps)).toContain("create key");
      expect(trial.processes()).toEqual([]);
      trial.set("open");
      expect(namesOf((await trial.stack().up()).steps)).toEqual(
        expect.arrayContaining(["create server", "same key"]),
      );
    });

    test("Ctrl-C, which a terminal sends to all that a command started, interrupts the run once", async () => {
      const script = path.join(import.meta.dirname, "interrupted-child.ts");
      const child = spawn(process.execPath, [script, trial.folder], {
        detached: true,
        stdio: ["ignore", "pipe", "inherit"],
      });
      const said = text(child.stdout);
      await eventually(() => trial.log().includes("waiting"));
      process.kill(-(child.pid ?? 0), "SIGINT");
      expect(JSON.parse(await said).problems[0]).toMatch(/^interrupted/);
      expect(trial.processes()).toEqual([]);
      expect(trial.pendingOperations()).toEqual([]);
    });

    test("an interrupt before the run begins starts nothing", async () => {
      const failure = await failureOf(trial.stack().up({ signal: AbortSignal.abort() }));
      expect(failure.problems).toEqual([expect.stringMatching(/^interrupted/)]);
      expect(await trial.stack().outputs()).toBeUndefined();
    });

    test("a stack that another CLI is changing is left alone, with a remedy; a dead CLI's lock is not in the way", async () => {
      const first = failureOf(trial.stack().up());
      await eventually(() => trial.log().includes("waiting"));
      await expect(trial.stack().up()).rejects.toThrow(/is being changed by process \d+/);
      // The same state from elsewhere: only the CLI's own lock is in common.
      const elsewhere = trial.stack({
        workFolder: path.join(trial.folder, "elsewhere"),
        backendUrl: `file://${trial.workFolder}/backend`,
      });
      const refused = await failureOf(elsewhere.up());
      expect(refused.message).toMatch(
        /is being changed by another run \(created by .*pid \d+.*\)\.\nremedy: wait/,
      );

      process.kill(trial.lockOwner(), "SIGKILL");
      await first;
      trial.set("open");
      expect(namesOf((await trial.stack().up()).steps)).toContain("create server");
    });

    test("a wrong passphrase is told, and changes nothing", async () => {
      trial.set("open");
      await trial.stack().up();
      const failure = await failureOf(trial.stack({ passphrase: "wrong horse" }).up());
      expect(failure.message).toContain("incorrect passphrase");
      expect(trial.processes()).toHaveLength(1);
    });

    test("a run that the CLI cannot begin is told with what the CLI says", async () => {
      const failure = await failureOf(trial.stack({ backendUrl: "file:///nowhere/at/all" }).up());
      expect(failure.message).toContain("/nowhere/at/all");
      writeFileSync(path.join(trial.folder, "Pulumi.yaml"), "main: [");
      const unreadable = await failureOf(trial.stack({ projectFolder: trial.folder }).up());
      expect(unreadable.message).toContain("cannot be read as a project");
    });
  },
);
