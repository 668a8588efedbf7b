import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { Process } from "../../providers/process/resource.ts";
import { PlatformProvider } from "../../providers/provider.ts";
import { Traffic } from "../../providers/router/resource.ts";
import { Secret } from "../../providers/secret/resource.ts";
import type { Properties } from "../../providers/wire.ts";
import { urnOf } from "./support.ts";

const registered: pulumi.runtime.MockResourceArgs[] = [];

beforeAll(async () => {
  await pulumi.runtime.setMocks({
    newResource: (args) => {
      registered.push(args);
      return { id: args.name, state: { ...args.inputs, value: "generated", pid: 7, generation: 1 } };
    },
    call: () => ({}),
  });
});

function known<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => {
    output.apply(resolve);
  });
}

async function checked(type: string, inputs: Properties): Promise<string[]> {
  const { failures } = await new PlatformProvider().check(urnOf(type, "x"), {}, inputs);
  return failures?.map(({ property }) => property) ?? [];
}

describe("resource classes", () => {
  test("each, when registered, then the provider knows its type and accepts what it sends", async () => {
    const key = new Secret("key", { prefix: "sk-" });
    const web = new Process("web", {
      command: ["node"],
      environment: { KEY: key.value },
      logFile: "/state/web.log",
      pidDir: "/state/pids",
    });
    const backends = { blue: { url: "http://127.0.0.1:1", weight: 100 } };
    const traffic = new Traffic("weights", { adminUrl: "http://127.0.0.1:2", token: key.value, backends });

    expect(await known(web.pid)).toBe(7);
    expect(await known(web.environment)).toEqual({ KEY: "generated" });
    expect(await known(traffic.generation)).toBe(1);
    for (const { type, inputs } of registered) expect(await checked(type, inputs)).toEqual([]);
    expect(registered.map(({ type }) => type).sort()).toEqual([
      "platform:process:Process",
      "platform:router:Traffic",
      "platform:secret:Secret",
    ]);
  });

  test("a process, with optional arguments left out, then each is an output all the same", async () => {
    const web = new Process("bare", { command: ["node"], logFile: "/state/web.log", pidDir: "/state/pids" });
    const optional = [
      web.environment,
      web.cwd,
      web.ports,
      web.healthUrl,
      web.trigger,
      web.drainSeconds,
      web.startSeconds,
    ];
    expect(optional.every((output) => pulumi.Output.isInstance(output))).toBe(true);
  });
});
