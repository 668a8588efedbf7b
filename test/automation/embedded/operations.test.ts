import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RunFailed } from "../../../automation/index.ts";
import { Bench, changes, Group, Thing } from "./world.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

class Other extends pulumi.CustomResource {
  constructor(name: string) {
    super("other:index:Thing", name, {});
  }
}

class Configured extends pulumi.ProviderResource {
  constructor(name: string) {
    super("test", name, { region: "mars" });
  }
}

async function failureOf(run: Promise<unknown>): Promise<RunFailed> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RunFailed);
  return error as RunFailed;
}

describe("up", () => {
  test("creates what is registered, dependencies first, and returns the outputs", async () => {
    const result = await bench
      .stack(() => {
        const a = new Thing("a", { value: 1 });
        const b = new Thing("b", { value: a.result });
        return { b: b.result };
      })
      .up();
    expect(bench.log()).toEqual(["create a", "create b"]);
    expect(result.outputs).toEqual({ b: { value: 'b is "a is 1"', secret: false } });
  });

  test("changes nothing when the program asks for the same again", async () => {
    const stack = bench.stack(() => void new Thing("a", { value: { deep: [1, 2] } }));
    await stack.up();
    bench.log();
    expect(changes(await stack.up())).toEqual([]);
    expect(bench.log()).toEqual([]);
  });

  test("updates in place when an input changes, and passes the new outputs on", async () => {
    const program = (value: number) => () => {
      const a = new Thing("a", { value });
      new Thing("b", { value: a.result });
    };
    await bench.stack(program(1)).up();
    bench.log();
    expect(changes(await bench.stack(program(2)).up())).toEqual(["update a", "update b"]);
    expect(bench.world.things.get("b-0")).toMatchObject({ value: "a is 2" });
  });

  test("creates the replacement before it deletes the replaced one, by default", async () => {
    await bench.stack(() => void new Thing("a", { key: 1 })).up();
    bench.log();
    const result = await bench.stack(() => void new Thing("a", { key: 2 })).up();
    expect(changes(result)).toEqual(["create-replacement a", "delete-replaced a"]);
    expect([...bench.world.things.keys()]).toEqual(["a-2"]);
  });

  test("deletes first, dependents that cannot stay before it, when the provider or the program asks", async () => {
    const program = (key: number) => () => {
      const a = new Thing("a", { key, value: key }, { deleteBeforeReplace: true });
      new Thing("stays", { value: a.result });
      new Thing("goes", { key: a.result });
    };
    await bench.stack(program(1)).up();
    bench.log();
    await bench.stack(program(2)).up();
    const log = bench.log();
    expect(log.slice(0, 3)).toEqual(["delete goes", "delete a", "create a"]);
    expect(log.slice(3).sort()).toEqual(["create goes", "update stays"]);
  });

  test("deletes what is no longer registered, dependents before what they need", async () => {
    await bench
      .stack(() => {
        const a = new Thing("a", {});
        const b = new Thing("b", { value: a.result });
        new Thing("c", {}, { dependsOn: [b] });
        new Thing("d", {});
      })
      .up();
    bench.log();
    await bench.stack(() => void new Thing("d", {})).up();
    expect(bench.log()).toEqual(["delete c", "delete b", "delete a"]);
  });

  test("keeps the children of a component apart from equal names elsewhere", async () => {
    await bench
      .stack(() => {
        const group = new Group("group");
        new Thing("child", { key: 1 }, { parent: group });
        new Thing("other", { key: 2 });
      })
      .up();
    const urns = bench.deployment().resources.map(({ urn }: { urn: string }) => urn);
    expect(urns).toContain("urn:pulumi:one::demo::test:index:Group$test:index:Thing::child");
    expect(urns).toContain("urn:pulumi:one::demo::test:index:Thing::other");
  });

  test("reports every input that the provider refuses at once, and creates nothing", async () => {
    const error = await failureOf(
      bench.stack(() => void new Thing("a", { value: "forbidden", key: "forbidden" })).up(),
    );
    expect(error.message).toContain("value: must not be forbidden; key: must not be forbidden");
    expect(bench.log()).toEqual([]);
  });

  test("refuses two resources of one name", async () => {
    const error = await failureOf(
      bench
        .stack(() => {
          new Thing("a", {});
          new Thing("a", {});
        })
        .up(),
    );
    expect(error.message).toContain("registered twice");
  });

  test("refuses two references to the same stack under the same name", async () => {
    await bench.stack(() => ({ known: 1 }), { name: "other" }).up();
    const refer = () => new pulumi.StackReference("organization/demo/other");
    const error = await failureOf(
      bench
        .stack(() => {
          refer();
          refer();
        })
        .up(),
    );
    expect(error.message).toContain("registered twice");
  });

  test("refuses to replace or to drop a protected resource, and leaves it alone", async () => {
    await bench.stack(() => void new Thing("a", { key: 1 }, { protect: true })).up();
    const replaced = await failureOf(
      bench.stack(() => void new Thing("a", { key: 2 }, { protect: true })).up(),
    );
    const dropped = await failureOf(bench.stack(() => {}).up());
    expect(replaced.message).toContain("protected");
    expect(dropped.message).toContain("protected");
    expect([...bench.world.things.keys()]).toEqual(["a-1"]);
  });

  test.each<[string, () => unknown]>([
    ["ignoreChanges", () => void new Thing("a", {}, { ignoreChanges: ["value"] })],
    ["retainOnDelete", () => void new Thing("a", {}, { retainOnDelete: true })],
    ["import", () => void new Thing("a", {}, { import: "id" })],
    ["aliases", () => void new Thing("a", {}, { aliases: [{ name: "z" }] })],
    ["customTimeouts", () => void new Thing("a", {}, { customTimeouts: { create: "1m" } })],
    ["replaceOnChanges", () => void new Thing("a", {}, { replaceOnChanges: ["value"] })],
    ["deletedWith", () => void new Thing("a", {}, { deletedWith: new Thing("b", { value: "never" }) })],
    ["an explicit provider", () => void new Configured("p")],
    ["hideDiffs", () => void new Thing("a", {}, { hideDiffs: ["value"] })],
    ["hooks", () => new pulumi.ResourceHook("h", () => {})],
    ["replaceWith", () => void new Thing("a", {}, { replaceWith: [new Thing("b", { value: "never" })] })],
    ["replacementTrigger", () => void new Thing("a", {}, { replacementTrigger: "x" })],
    ["transforms", () => void new Thing("a", {}, { transforms: [() => undefined] })],
    ["provider functions", () => pulumi.runtime.invoke("test:index:f", {})],
    ["reading existing resources", () => void new Thing("a", {}, { id: "x" })],
    ['package "other"', () => void new Other("x")],
  ])("refuses %s by name, and changes nothing", async (feature, program) => {
    const error = await failureOf(bench.stack(program).up());
    expect(error.message).toContain(feature);
    expect(error.message).toContain("remedy: run this stack with the Pulumi CLI");
    expect(bench.log()).not.toContain("create a");
  });

  test("fails with what was thrown when that is no error", async () => {
    const error = await failureOf(
      bench
        .stack(() => {
          throw "plain text";
        })
        .up(),
    );
    expect(error.problems).toEqual(["plain text"]);
  });

  test("fails with the program's own message when the program throws", async () => {
    const error = await failureOf(
      bench
        .stack(() => {
          throw new Error("no such model");
        })
        .up(),
    );
    expect(error.problems).toEqual(["no such model"]);
  });

  test("fails when a promise of the program is rejected and nobody awaits it", async () => {
    const error = await failureOf(
      bench
        .stack(() => {
          pulumi.output(Promise.reject<string>(new Error("lost"))).apply((value) => value);
          new Thing("a", {});
        })
        .up(),
    );
    expect(error.message).toContain("lost");
  });
});

describe("a failed step", () => {
  test("keeps what was done, deletes nothing, and the next run goes on from there", async () => {
    await bench.stack(() => void new Thing("old", {})).up();
    bench.log();
    const program = () => {
      const a = new Thing("a", {});
      const b = new Thing("b", { value: a.result });
      new Thing("c", { value: b.result });
    };
    bench.world.fault = (operation, name) => {
      if (operation === "create" && name === "b") throw new Error("quota exceeded");
    };
    const error = await failureOf(bench.stack(program).up());
    expect(error.problems).toEqual(["b (test:index:Thing): quota exceeded"]);
    expect(bench.log()).toEqual(["create a"]);
    bench.world.fault = () => {};
    await bench.stack(program).up();
    expect(bench.log()).toEqual(["create b", "create c", "delete old"]);
  });

  test("keeps a resource that was made but not made well, and brings it to its goal next time", async () => {
    bench.world.fault = (operation) => {
      if (operation !== "create") return;
      throw Object.assign(new Error("not healthy"), {
        id: "a-0",
        properties: { name: "a" },
        reasons: ["slow"],
      });
    };
    const stack = bench.stack(() => void new Thing("a", {}));
    await failureOf(stack.up());
    expect(bench.deployment().resources.at(-1)).toMatchObject({ id: "a-0", initErrors: ["slow"] });
    bench.world.fault = () => {};
    expect(changes(await stack.up())).toEqual(["update a"]);
    expect(bench.deployment().resources.at(-1).initErrors).toBeUndefined();
  });

  test("lets independent steps under way come to an end", async () => {
    const gate = Promise.withResolvers<void>();
    bench.world.delay = async (_operation, name) => {
      if (name === "slow") await gate.promise;
    };
    bench.world.fault = (_operation, name) => {
      if (name !== "bad") return;
      gate.resolve();
      throw new Error("broken");
    };
    await failureOf(
      bench
        .stack(() => {
          new Thing("slow", {});
          new Thing("bad", {});
        })
        .up(),
    );
    expect(bench.deployment().resources.map(({ id }: { id?: string }) => id)).toContain("slow-0");
  });
});

describe("an interrupted run", () => {
  test("starts no new step, keeps what was done, and says so", async () => {
    const controller = new AbortController();
    bench.world.delay = async (_operation, name) => {
      if (name === "a") controller.abort();
    };
    const stack = bench.stack(() => {
      const a = new Thing("a", {});
      new Thing("b", { value: a.result });
    });
    const error = await failureOf(stack.up({ signal: controller.signal }));
    expect(error.message).toContain("interrupted");
    expect(bench.log()).toEqual(["create a"]);
    await stack.up();
    expect(bench.log()).toEqual(["create b"]);
  });
});
