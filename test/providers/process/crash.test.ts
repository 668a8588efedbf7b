import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Properties } from "../../../providers/wire.ts";
import { Bench, environmentOf, eventually, pidOf } from "../support.ts";

const RUNNER = new URL("./crash-runner.ts", import.meta.url);
const INSTANTS = 8;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

/** Runs an operation in a runner of its own, which is killed after that time; says how long it ran. */
async function interrupted(args: readonly string[], killAfterMs: number): Promise<number> {
  const runner = fork(RUNNER, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  await message(runner, "loaded");
  const begin = performance.now();
  runner.send("go");
  const exit = once(runner, "exit");
  await Promise.race([exit, delay(killAfterMs)]);
  const ranMs = performance.now() - begin;
  runner.kill("SIGKILL");
  await exit;
  return ranMs;
}

async function message(runner: ChildProcess, expected: string): Promise<void> {
  const [received] = await once(runner, "message");
  expect(received).toBe(expected);
}

/** Instants spread over the time that the operation takes when nobody kills it, each moved at random. */
async function instants(args: readonly string[]): Promise<number[]> {
  const wholeMs = await interrupted(args, 30_000);
  return Array.from({ length: INSTANTS }, (_, index) => ((index + Math.random()) * wholeMs) / INSTANTS);
}

/** What a next run does after an interrupted create: recover, then create unless something was recovered. */
async function resume(inputs: Properties): Promise<Properties> {
  const recovered = await bench.provider.recover(bench.urn, inputs);
  // A child whose runner died before it was registered ends by itself.
  await eventually(() => bench.pids().length === (recovered === undefined ? 0 : 1));
  return recovered?.outs ?? (await bench.create(inputs));
}

async function deleteAll(outs: Properties): Promise<void> {
  await bench.provider.delete("id", bench.urn, outs);
  expect(bench.pids()).toEqual([]);
}

describe(`a runner killed at ${INSTANTS} random instants of an operation`, () => {
  test("create, when the runner is killed, then the next run ends up with one process and can delete it", async () => {
    const inputs = bench.inputs();
    const args = ["create", bench.urn, "{}", JSON.stringify(inputs)];
    for (const instant of await instants(args)) {
      await deleteAll(await resume(inputs));
      await interrupted(args, instant);
      const outs = await resume(inputs);
      expect(bench.pids()).toEqual([pidOf(outs)]);
      expect(await environmentOf(outs)).toHaveProperty("PORT");
    }
  });

  test("create, when the runner is killed and the next run only creates, then one process is left", async () => {
    const inputs = bench.inputs();
    const args = ["create", bench.urn, "{}", JSON.stringify(inputs)];
    for (const instant of await instants(args)) {
      await interrupted(args, instant);
      const outs = await bench.create(inputs);
      await eventually(() => bench.pids().length === 1);
      expect(bench.pids()).toEqual([pidOf(outs)]);
      await deleteAll(outs);
    }
  });

  test("update, when the runner is killed, then an update from the old state ends up with one new process", async () => {
    const news = bench.inputs({ environment: { MODE: "new" } });
    const before = await bench.create();
    const times = await instants(["update", bench.urn, JSON.stringify(before), JSON.stringify(news)]);
    await deleteAll(before);
    for (const [index, instant] of times.entries()) {
      const olds = await bench.create();
      await interrupted(["update", bench.urn, JSON.stringify(olds), JSON.stringify(news)], instant);
      if (index % 2 === 1) {
        await deleteAll(olds);
        continue;
      }
      const { outs } = await bench.provider.update("id", bench.urn, olds, news);
      await eventually(() => bench.pids().length === 1);
      expect(bench.pids()).toEqual([pidOf(outs)]);
      expect(await environmentOf(outs)).toMatchObject({ MODE: "new" });
      await deleteAll(outs);
    }
  });

  test("delete, when the runner is killed, then deleting again leaves nothing", async () => {
    const args = (outs: Properties): string[] => ["delete", bench.urn, JSON.stringify(outs), "{}"];
    for (const instant of await instants(args(await bench.create()))) {
      const outs = await bench.create();
      await interrupted(args(outs), instant);
      await deleteAll(outs);
    }
  });
});
