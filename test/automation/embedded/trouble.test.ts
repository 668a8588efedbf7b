import { readFileSync, writeFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StateFile } from "../../../automation/embedded/state.ts";
import type { RunEvent } from "../../../automation/index.ts";
import { integrityProblems } from "./integrity.ts";
import { Bench, changes, Thing } from "./world.ts";

let bench: Bench;
let broken: string[];
beforeEach(() => {
  bench = new Bench();
  broken = [];
  const save = StateFile.prototype.save;
  vi.spyOn(StateFile.prototype, "save").mockImplementation(function (this: StateFile, ...args) {
    broken.push(...integrityProblems(args[0]));
    save.apply(this, args);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  expect(broken, "every state that was written is a valid deployment").toEqual([]);
  bench.close();
});

const things = () => [...bench.world.things.keys()].sort();
const failCreate = (name: string, error: Error) => {
  bench.world.fault = (operation, thing) => {
    if (operation === "create" && thing === name) throw error;
  };
};

/** Turns resources of the state into creations that a crash cut short. */
function interruptCreationOf(...names: string[]): void {
  const content = JSON.parse(readFileSync(bench.file(), "utf8"));
  const isNamed = ({ urn }: { urn: string }) => names.includes(urn.split("::").at(-1) ?? "");
  const { resources } = content.deployment;
  content.deployment.pending_operations = resources
    .filter(isNamed)
    .map(({ id: _id, outputs: _outputs, ...resource }: Record<string, unknown>) => ({
      resource,
      type: "creating",
    }));
  content.deployment.resources = resources.filter((resource: { urn: string }) => !isNamed(resource));
  writeFileSync(bench.file(), JSON.stringify(content));
}

const replaced = (key: number) => () => {
  const a = new Thing("a", { key, value: key }, { deleteBeforeReplace: true });
  new Thing("stays", { value: a.result });
};

describe("a replacement", () => {
  test("that fails after it made something loses neither the old resource nor the new one", async () => {
    await bench.stack(() => void new Thing("a", { key: 1 })).up();
    bench.world.fault = (operation) => {
      if (operation !== "create") return;
      bench.world.things.set("a-2", { name: "a", key: 2 });
      throw Object.assign(new Error("unhealthy"), { id: "a-2", properties: { name: "a", key: 2 } });
    };
    await expect(bench.stack(() => void new Thing("a", { key: 2 })).up()).rejects.toThrow("unhealthy");
    expect(bench.deployment().resources.map(({ id }: { id: string }) => id)).toEqual(
      expect.arrayContaining(["a-1", "a-2"]),
    );
    bench.world.fault = () => {};
    await bench.stack(() => {}).destroy();
    expect(things()).toEqual([]);
  });

  test("that deletes first refuses to take a protected dependent with it, before it deletes anything", async () => {
    const program = (key: number) => () => {
      const a = new Thing("a", { key, value: key }, { deleteBeforeReplace: true });
      new Thing("kept", { key: a.result }, { protect: true });
    };
    await bench.stack(program(1)).up();
    bench.log();
    await expect(bench.stack(program(2)).up()).rejects.toThrow(/protected, and so not deleted: .*::kept/);
    expect(bench.log()).toEqual([]);
  });

  test("that deletes first and then fails leaves a valid state, and the next run goes on", async () => {
    await bench.stack(replaced(1)).up();
    failCreate("a", new Error("quota"));
    await expect(bench.stack(replaced(2)).up()).rejects.toThrow("quota");
    bench.world.fault = () => {};
    bench.log();
    await bench.stack(replaced(2)).up();
    expect(bench.log()).toEqual(["create a", "update stays"]);
  });

  test.each(["a", "b"])(
    "that deletes first does not delete what no longer depends on it (slow: %s)",
    async (slow) => {
      await bench
        .stack(() => {
          const a = new Thing("a", { key: 1, deleteFirst: true });
          new Thing("b", { key: a.result });
        })
        .up();
      const diff = bench.world.diff;
      const other = Promise.withResolvers<void>();
      vi.spyOn(bench.world, "diff").mockImplementation(async (id, urn, olds, news) => {
        if (urn.endsWith(`::${slow}`)) await other.promise;
        else setImmediate(() => other.resolve());
        return diff.call(bench.world, id, urn, olds, news);
      });
      await bench
        .stack(() => {
          new Thing("a", { key: 2, deleteFirst: true });
          new Thing("b", { key: "a is undefined" });
        })
        .up();
      const ids = bench.deployment().resources.map(({ id }: { id: string }) => id);
      expect(things()).toEqual(["a-2", 'b-"a is undefined"']);
      expect(ids).toEqual(expect.arrayContaining(things()));
    },
  );
});

describe("a dependent that is registered while it is being deleted for a replacement", () => {
  test("is made anew when the deletion is over, and not taken for unchanged", async () => {
    await bench
      .stack(() => {
        const a = new Thing("a", { key: 1, deleteFirst: true });
        new Thing("b", { key: a.result });
      })
      .up();
    const deleting = Promise.withResolvers<void>();
    const registered = Promise.withResolvers<void>();
    bench.world.delay = async (operation, name) => {
      if (operation === "create" && name === "x") await deleting.promise;
      if (operation !== "delete" || name !== "b") return;
      deleting.resolve();
      await registered.promise;
    };
    await bench
      .stack(() => {
        new Thing("a", { key: 2, deleteFirst: true });
        const x = new Thing("x", {});
        new Thing("b", { key: x.result.apply(() => "a is undefined") });
        x.result.apply(() => setImmediate(() => setImmediate(() => registered.resolve())));
      })
      .up();
    const ids = bench.deployment().resources.map(({ id }: { id: string }) => id);
    expect(things()).toContain('b-"a is undefined"');
    expect(ids).toContain('b-"a is undefined"');
  });
});

describe("a run that has failed", () => {
  test("starts nothing any more, also what was being checked when it failed", async () => {
    const gate = Promise.withResolvers<void>();
    const check = bench.world.check;
    vi.spyOn(bench.world, "check").mockImplementation(async (urn, olds, news) => {
      if (news.name === "slow") await gate.promise;
      return check.call(bench.world, urn, olds, news);
    });
    failCreate("bad", new Error("broken"));
    const run = bench
      .stack(() => {
        new Thing("slow", {});
        new Thing("bad", {});
      })
      .up({ onEvent: (event) => event.kind === "step-failed" && setImmediate(() => gate.resolve()) });
    await expect(run).rejects.toThrow("broken");
    expect(things()).toEqual([]);
  });

  test("writes no state any more, also when a component's outputs come late", async () => {
    const late = Promise.withResolvers<number>();
    class Slow extends pulumi.ComponentResource {
      constructor(name: string) {
        super("test:index:Slow", name, {});
        this.registerOutputs({ x: pulumi.output(late.promise) });
      }
    }
    failCreate("bad", new Error("broken"));
    const stack = bench.stack(() => {
      new Slow("slow");
      new Thing("bad", {});
    });
    await expect(stack.up()).rejects.toThrow("broken");
    await stack.destroy();
    late.resolve(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(bench.deployment().resources).toEqual([]);
  });

  test("shows no secret that a provider repeats, nor keeps it in the state", async () => {
    const program = () => void new Thing("a", { value: pulumi.secret("hunter2") });
    const events: RunEvent[] = [];
    failCreate(
      "a",
      Object.assign(new Error("bad hunter2"), { id: "a-0", properties: {}, reasons: ["no hunter2"] }),
    );
    const run = bench.stack(program).up({ onEvent: (event) => events.push(event) });
    await expect(run).rejects.toThrow("a (test:index:Thing): bad [secret]");
    expect(JSON.stringify(events)).not.toContain("hunter2");
    expect(readFileSync(bench.file(), "utf8")).not.toContain("hunter2");
  });
});

describe("interrupted operations", () => {
  const program = () => {
    new Thing("a", {});
    new Thing("b", {});
  };

  test("stay in the state until each is taken up", async () => {
    await bench.stack(program).up();
    interruptCreationOf("a", "b");
    const recover = vi.spyOn(bench.world, "recover");
    recover.mockImplementationOnce(async () => ({ id: "a-0", outs: { name: "a" } }));
    recover.mockRejectedValueOnce(new Error("the cloud is down"));
    await expect(bench.stack(program).up()).rejects.toThrow("the cloud is down");
    expect(bench.deployment().pending_operations).toHaveLength(1);
    await bench.stack(() => {}).up();
    expect(things()).toEqual([]);
  });

  test("are shown by a preview, which takes up nothing", async () => {
    await bench.stack(program).up();
    interruptCreationOf("a");
    const before = bench.deployment();
    const recover = vi.spyOn(bench.world, "recover");
    const warnings: string[] = [];
    await bench.stack(program).preview({
      onEvent: (event) => event.kind === "warning" && warnings.push(event.message),
    });
    expect(recover).not.toHaveBeenCalled();
    expect(warnings).toEqual(["interrupted while creating: the next run takes it up"]);
    expect(bench.deployment()).toEqual(before);
  });

  test("that are taken up stand before what needs them", async () => {
    await bench.stack(replaced(1)).up();
    interruptCreationOf("a");
    await bench.stack(replaced(1)).refresh();
    const names = bench.deployment().resources.map(({ urn }: { urn: string }) => urn.split("::").at(-1));
    expect(names.indexOf("a")).toBeLessThan(names.indexOf("stays"));
  });
});

describe("a refresh", () => {
  test("that drops a resource leaves a valid state", async () => {
    await bench.stack(replaced(1)).up();
    bench.world.things.delete("a-1");
    await bench.stack(replaced(1)).refresh();
    expect(changes(await bench.stack(replaced(1)).up())).toEqual(["create a"]);
  });

  test("keeps secret what was secret, whatever the provider answers", async () => {
    const stack = bench.stack(
      () => void new Thing("a", { value: pulumi.secret("hunter2") }, { additionalSecretOutputs: ["result"] }),
    );
    await stack.up();
    bench.world.things.set("a-0", { name: "a", value: "hunter2", result: "token-9" });
    await stack.refresh();
    expect(readFileSync(bench.file(), "utf8")).not.toMatch(/hunter2|token-9/);
  });
});

describe("an output that becomes secret while nothing else changes", () => {
  test("is sealed in the state and secret to the program", async () => {
    await bench.stack(() => void new Thing("a", { value: "x" })).up();
    const { outputs } = await bench
      .stack(() => ({ r: new Thing("a", { value: "x" }, { additionalSecretOutputs: ["result"] }).result }))
      .up();
    expect(outputs.r).toEqual({ value: 'a is "x"', secret: true });
    expect(readFileSync(bench.file(), "utf8")).not.toContain("a is");
  });
});
