import type { Profiler } from "node:inspector";
import { describe, expect, it } from "vitest";
import { breakDown, total } from "./profile.ts";

type Tree = readonly [name: string, url: string, self: number, ...children: Tree[]];

/** A profile in which each function has so many microseconds of its own. */
function profileOf(tree: Tree): Profiler.Profile {
  const nodes: Profiler.ProfileNode[] = [];
  const samples: number[] = [];
  const timeDeltas: number[] = [];
  const add = ([functionName, url, self, ...children]: Tree): number => {
    const id = nodes.length + 1;
    const callFrame = { functionName, url, scriptId: "0", lineNumber: 0, columnNumber: 0 };
    const node: Profiler.ProfileNode = { id, callFrame };
    nodes.push(node);
    samples.push(id);
    timeDeltas.push(self);
    node.children = children.map(add);
    return id;
  };
  add(tree);
  return { nodes, samples, timeDeltas, startTime: 0, endTime: 0 };
}

const STEP = "file:///app/services/gateway/steps/validate.ts";
const OTHER = "file:///app/services/gateway/limits/limiter.ts";
const ZOD = "file:///app/node_modules/zod/v4/core/parse.js";
const NESTED = "file:///app/node_modules/@scope/outer/node_modules/inner/index.js";

describe("a CPU profile, broken down by the gateway's files", () => {
  it("counts for a file what packages and Node.js did on its behalf", () => {
    const { busy, files } = breakDown(
      profileOf([
        "(root)",
        "",
        0,
        ["validate", STEP, 5, ["parse", ZOD, 30, ["slice", "node:buffer", 7]], ["write", "", 11]],
      ]),
    );
    expect(files).toEqual([{ name: "steps/validate.ts", own: 5, packages: 30, node: 18 }]);
    expect(busy).toBe(53);
  });

  it("counts for the file that acted last, where one calls another", () => {
    const { files } = breakDown(
      profileOf(["(root)", "", 0, ["validate", STEP, 1, ["reserve", OTHER, 2, ["now", "", 4]]]]),
    );
    expect(files.map((share) => [share.name, total(share)])).toEqual([
      ["limits/limiter.ts", 6],
      ["steps/validate.ts", 1],
    ]);
  });

  it("leaves out idle time and the profiler, and names what nobody asked for", () => {
    const { busy, files } = breakDown(
      profileOf([
        "(root)",
        "",
        0,
        ["(idle)", "", 1_000],
        ["post", "node:inspector", 1_000],
        ["(garbage collector)", "", 3],
        ["onread", "node:net", 2],
      ]),
    );
    expect(busy).toBe(5);
    expect(files.map(({ name }) => name)).toEqual(["garbage collection", "Node.js by itself"]);
  });

  it("gives a package what it does in its own name, and the innermost package of nested ones", () => {
    const { files, packages } = breakDown(
      profileOf(["(root)", "", 0, ["callback", NESTED, 4, ["write", "", 6]], ["validate", STEP, 1]]),
    );
    expect(files[0]).toEqual({ name: "inner", own: 4, packages: 0, node: 6 });
    expect(packages).toEqual([{ name: "inner", own: 4, packages: 0, node: 6 }]);
  });

  it("sums up a function that is called from many places", () => {
    const { functions } = breakDown(
      profileOf(["(root)", "", 0, ["a", STEP, 1, ["parse", ZOD, 4]], ["b", OTHER, 2, ["parse", ZOD, 5]]]),
    );
    expect(functions[0]).toEqual({ name: "zod parse", time: 9 });
  });
});
