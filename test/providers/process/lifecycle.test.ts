import { existsSync, readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bench, environmentOf, pidOf, portOf } from "../support.ts";

describe("the life of a process", () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
  });
  afterEach(() => bench.close());

  test("create, with a free port asked for, then the process answers on the port in its state", async () => {
    const outs = await bench.create();
    expect(await environmentOf(outs)).toMatchObject({ PORT: String(portOf(outs)) });
    expect(bench.pids()).toEqual([pidOf(outs)]);
    expect(await bench.isThere(outs)).toBe(true);
  });

  test("delete, with the process running, then process and pid file are gone", async () => {
    const outs = await bench.create();
    await bench.provider.delete("id", bench.urn, outs);
    expect(bench.pids()).toEqual([]);
    expect(readdirSync(bench.pidDir)).toEqual([]);
    expect(existsSync(bench.logFile)).toBe(true);
  });

  test("delete, when the process is dead already, then it succeeds", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGKILL");
    await bench.provider.delete("id", bench.urn, outs);
    expect(readdirSync(bench.pidDir)).toEqual([]);
  });

  test("read, after kill -9, then it is gone and a create heals it on the same port", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGKILL");
    expect(await bench.isThere(outs)).toBe(false);
    const healed = await bench.create();
    expect(portOf(healed)).toBe(portOf(outs));
    expect(bench.pids()).toEqual([pidOf(healed)]);
  });
});
