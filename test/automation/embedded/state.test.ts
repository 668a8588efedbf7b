import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bench, changes, Thing } from "./world.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe("secrets", () => {
  const program = () => {
    const password = new pulumi.Config().requireSecret("password");
    const a = new Thing("a", { value: password });
    const b = new Thing("b", { value: 1 }, { additionalSecretOutputs: ["result"] });
    return { password: a.value, derived: b.result, open: "seen" };
  };
  const settings = { config: { "demo:password": "hunter2" }, secretKeys: ["demo:password"] };

  test("never stand in the state in clear, and come back as secret outputs", async () => {
    const result = await bench.stack(program, settings).up();
    const text = readFileSync(bench.file(), "utf8");
    expect(text).not.toContain("hunter2");
    expect(text).not.toContain("b is 1");
    expect(result.outputs).toEqual({
      password: { value: "hunter2", secret: true },
      derived: { value: "b is 1", secret: true },
      open: { value: "seen", secret: false },
    });
    expect(await bench.stack(program, settings).outputs()).toEqual(result.outputs);
  });

  test("keep their bytes in the file while their value stays the same", async () => {
    await bench.stack(program, settings).up();
    const before = bench.deployment().resources.map(({ inputs }: { inputs: unknown }) => inputs);
    await bench.stack(program, settings).up();
    expect(bench.deployment().resources.map(({ inputs }: { inputs: unknown }) => inputs)).toEqual(before);
  });

  test("stay closed to another passphrase, with a clear error", async () => {
    await bench.stack(program, settings).up();
    const run = bench.stack(program, { ...settings, passphrase: "wrong" }).up();
    await expect(run).rejects.toThrow("incorrect passphrase");
  });

  test("leave the file readable by its owner alone", async () => {
    await bench.stack(program, settings).up();
    expect(statSync(bench.file()).mode & 0o777).toBe(0o600);
  });
});

describe("the state file", () => {
  test("has the shape of a Pulumi deployment: parents and dependencies before what needs them", async () => {
    await bench
      .stack(() => {
        const a = new Thing("a", {});
        new Thing("b", { value: a.result });
      })
      .up();
    const { resources, manifest, secrets_providers } = bench.deployment();
    expect(manifest).toMatchObject({ version: expect.stringMatching(/^v3\./), magic: expect.any(String) });
    expect(secrets_providers.type).toBe("passphrase");
    const seen = new Set<string>();
    for (const { urn, parent, provider, dependencies = [] } of resources) {
      const needs = [parent, provider?.slice(0, provider.lastIndexOf("::")), ...dependencies].filter(Boolean);
      for (const need of needs) expect(seen, `${urn} needs ${need}`).toContain(need);
      seen.add(urn);
    }
    expect(resources.map(({ type }: { type: string }) => type)).toEqual([
      "pulumi:pulumi:Stack",
      "pulumi:providers:test",
      "test:index:Thing",
      "test:index:Thing",
    ]);
  });

  test("is left as it was, with a clear error, when it is not one", async () => {
    writeFileSync(bench.file(), '{"version": 3, "deployment": {"resources": [{}');
    const run = bench.stack(() => void new Thing("a", {})).up();
    await expect(run).rejects.toThrow(/state file .*one\.json cannot be read: .*\nremedy: restore the file/);
    expect(bench.log()).toEqual([]);
    expect(readFileSync(bench.file(), "utf8")).toBe('{"version": 3, "deployment": {"resources": [{}');
  });
});

describe("a reference to another stack", () => {
  test("reads its outputs, secrets as secrets", async () => {
    const source = bench.stack(() => ({ url: "http://x", token: pulumi.secret("t0ken") }), { name: "base" });
    await source.up();
    const result = await bench
      .stack(() => {
        const base = new pulumi.StackReference(`organization/demo/base`);
        return { url: base.requireOutput("url"), token: base.requireOutput("token") };
      })
      .up();
    expect(result.outputs).toEqual({
      url: { value: "http://x", secret: false },
      token: { value: "t0ken", secret: true },
    });
    expect(readFileSync(bench.file(), "utf8")).not.toContain("t0ken");
  });

  test("fails with the stack's name when that stack was never brought up", async () => {
    const run = bench.stack(() => void new pulumi.StackReference("organization/demo/nowhere")).up();
    await expect(run).rejects.toThrow('stack "organization/demo/nowhere" does not exist');
  });
});

describe("the lock", () => {
  test("refuses a second run at the same time, by this process or another", async () => {
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    bench.world.delay = () => {
      entered.resolve();
      return gate.promise;
    };
    const stack = bench.stack(() => void new Thing("a", {}));
    const first = stack.up();
    await entered.promise;
    await expect(stack.up()).rejects.toThrow(`stack one is being changed by process ${process.pid}`);
    gate.resolve();
    await first;
    expect(changes(await stack.up())).toEqual([]);
  });

  test("is taken over from a process that died, also when its process id lives on as another process", async () => {
    const dead = spawn(process.execPath, ["-e", ""]);
    await once(dead, "exit");
    const stack = bench.stack(() => void new Thing("a", {}));
    const file = path.join(bench.folder, "one.lock");
    writeFileSync(file, JSON.stringify({ pid: dead.pid, identity: "1", since: "then" }));
    await stack.up();
    writeFileSync(file, JSON.stringify({ pid: process.pid, identity: "another start", since: "then" }));
    expect(changes(await stack.up())).toEqual([]);
  });

  test.runIf(process.platform === "linux")(
    "is taken over from a process that died and was not collected",
    async () => {
      const file = path.join(bench.folder, "one.lock");
      const keeper = lockByZombie(file);
      try {
        const [output] = await once(keeper.stdout, "data");
        const isZombie = () => readFileSync(`/proc/${Number(String(output))}/stat`, "utf8").includes(") Z ");
        while (!isZombie()) await new Promise((resolve) => setTimeout(resolve, 5));
        expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ pid: Number(String(output)) });
        expect(changes(await bench.stack(() => void new Thing("a", {})).up())).not.toEqual([]);
      } finally {
        keeper.kill("SIGKILL");
      }
    },
  );
});

/** A process that never collects its child, which takes a lock, prints its number and dies. */
function lockByZombie(file: string): ChildProcessByStdio<null, Readable, null> {
  const module = path.resolve(import.meta.dirname, "../../../automation/embedded/lock.ts");
  const taker = `import { readFileSync } from "node:fs";
    import { lock } from ${JSON.stringify(module)};
    lock(${JSON.stringify(file)}, "stack one");
    console.log(process.pid);
    // Only a parent that is no shell any more leaves its child uncollected.
    while (readFileSync("/proc/" + process.ppid + "/comm", "utf8") !== "sleep\\n");`;
  return spawn("sh", ["-c", `"$0" --input-type=module -e "$1" & exec sleep 600`, process.execPath, taker], {
    stdio: ["ignore", "pipe", "ignore"],
  });
}
