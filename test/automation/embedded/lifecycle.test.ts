import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bench, changes, Thing } from "./world.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe("preview", () => {
  test("tells the steps and changes neither the world nor the state", async () => {
    await bench
      .stack(() => {
        new Thing("a", { key: 1 });
        new Thing("b", { value: 1 });
        new Thing("c", {});
      })
      .up();
    const before = bench.deployment();
    bench.log();
    const result = await bench
      .stack(() => {
        const a = new Thing("a", { key: 2 });
        new Thing("b", { value: a.result });
        new Thing("d", {});
      })
      .preview();
    expect(changes(result).sort()).toEqual(
      ["create-replacement a", "update b", "create d", "delete c", "delete-replaced a"].sort(),
    );
    expect(bench.log()).toEqual([]);
    expect(bench.deployment()).toEqual(before);
  });

  test("treats the outputs of what does not exist yet as unknown, and those that are known as known", async () => {
    const applied: unknown[] = [];
    const { outputs } = await bench
      .stack(() => {
        const { result, value } = new Thing("a", { value: 7 });
        result.apply((known) => applied.push(known));
        value.apply((known) => applied.push(known));
        return { result, value };
      })
      .preview();
    expect(applied).toEqual([7]);
    expect(outputs.result).toEqual({ value: undefined, secret: false, unknown: true });
    expect(outputs.value).toEqual({ value: 7, secret: false });
    expect(bench.hasState()).toBe(false);
  });
});

describe("refresh", () => {
  test("drops what is gone, so that the next run makes it again", async () => {
    const stack = bench.stack(() => void new Thing("a", {}));
    await stack.up();
    bench.world.things.clear();
    bench.log();
    await stack.refresh();
    expect(bench.log()).toEqual([]);
    expect(changes(await stack.up())).toEqual(["create a"]);
  });

  test("takes over what was changed from outside, so that up with refresh mends it", async () => {
    const stack = bench.stack(() => void new Thing("a", { value: 1 }));
    await stack.up();
    bench.world.things.set("a-0", { name: "a", value: 9 });
    expect(changes(await stack.up({ refresh: true }))).toEqual(["update a"]);
    expect(bench.world.things.get("a-0")).toMatchObject({ value: 1 });
  });
});

describe("destroy", () => {
  const program = () => {
    const a = new Thing("a", {}, { protect: true });
    const b = new Thing("b", { value: a.result });
    new Thing("c", { value: b.result });
    return { result: a.result };
  };

  test("refuses while something is protected, and deletes nothing", async () => {
    await bench.stack(program).up();
    bench.log();
    await expect(bench.stack(program).destroy()).rejects.toThrow("protected");
    expect(bench.log()).toEqual([]);
  });

  test("deletes the rest in reverse order when protected resources are excluded", async () => {
    await bench.stack(program).up();
    bench.log();
    await bench.stack(program).destroy({ excludeProtected: true });
    expect(bench.log()).toEqual(["delete c", "delete b"]);
    expect([...bench.world.things.keys()]).toEqual(["a-0"]);
    await bench.stack(program).up();
    expect(bench.log()).toEqual(["create b", "create c"]);
  });

  test("leaves an empty state when nothing is protected", async () => {
    const stack = bench.stack(() => void new Thing("a", {}));
    await stack.up();
    await stack.destroy();
    expect(bench.deployment().resources).toEqual([]);
    expect(await stack.outputs()).toBeUndefined();
  });
});
