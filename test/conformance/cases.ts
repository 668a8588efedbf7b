import * as pulumi from "@pulumi/pulumi";
import type { Content } from "./provider/world.ts";
import { Group, Thing } from "./resources.ts";

export type Command =
  | "destroy"
  | "destroy --exclude-protected"
  | "preview"
  | "refresh"
  | "up"
  | "up --refresh";

/** One run of one stack. The stages of a case follow each other in one world. */
export interface Stage {
  command: Command;
  /** Default: `one`. */
  stack?: string;
  /** What happens to the world before the run, from outside. */
  before?: (world: Content) => void;
  /** What the run wants there to be. Default: nothing. */
  program?: () => unknown;
}

type Outputs = Record<string, unknown>;
type Version<T> = (version: T) => () => Outputs | undefined;

/** A preview and a run of the same program. */
const both = (program: () => unknown): Stage[] => [
  { command: "preview", program },
  { command: "up", program },
];

const chain = (): Outputs => {
  const a = new Thing("a", { value: 1 });
  const b = new Thing("b", { value: a.result });
  new Thing("c", { value: { deep: [1, "two", true] } }, { dependsOn: [b] });
  new Thing("alone");
  return { b: b.result, known: 7 };
};

const updated: Version<number> = (value) => () => {
  const a = new Thing("a", { value });
  const b = new Thing("b", { value: a.result });
  new Thing("same", { value: 1 }, { dependsOn: [b] });
  return { result: b.result };
};

const replaced: Version<{ key: number; first?: boolean }> =
  ({ key, first = false }) =>
  () => {
    const a = new Thing("a", { key, value: key }, first ? { deleteBeforeReplace: true } : {});
    const stays = new Thing("stays", { value: a.result });
    new Thing("goes", { key: a.result });
    new Thing("alone", { key: 1 }, { dependsOn: [stays] });
    return { result: a.result };
  };

const providerDeletesFirst: Version<number> = (key) => () => {
  const a = new Thing("a", { key, deleteFirst: true });
  new Thing("stays", { value: a.id });
  return { id: a.id };
};

const interrupted = (): Outputs => {
  const a = new Thing("a", { value: 2 });
  const b = new Thing("b", { value: a.result });
  const c = new Thing("c", { value: b.result });
  return { c: c.result };
};

const halfMade = (): Outputs => {
  const a = new Thing("a", { value: 1 });
  return { result: new Thing("b", { value: a.result }).result };
};

const secrets: Version<string> = (text) => () => {
  const config = new pulumi.Config("program");
  const a = new Thing("a", { value: pulumi.secret(text) });
  const b = new Thing("b", { value: a.value }, { additionalSecretOutputs: ["result"] });
  new Thing("c", { value: { user: "me", password: config.requireSecret("password") } });
  return {
    value: a.value,
    result: b.result,
    nested: { inner: pulumi.secret([1, 2]), open: "text" },
    plain: 1,
  };
};

const source: Version<string> = (text) => () => {
  const a = new Thing("a", { value: "open" });
  return { open: a.result, hidden: pulumi.secret(text), list: [1, 2] };
};

const reader = (): Outputs => {
  const other = new pulumi.StackReference("source", { name: "organization/conformance/source" });
  const a = new Thing("a", { value: other.requireOutput("open") });
  const b = new Thing("b", { value: other.requireOutput("hidden") });
  return { open: a.result, hidden: b.value, list: other.getOutput("list") };
};

const drifting = (): Outputs => {
  const changed = new Thing("changed", { value: 1 });
  const gone = new Thing("gone", { value: 1 });
  new Thing("steady", { value: gone.result });
  return { changed: changed.result };
};
const drift = ({ things }: Content): void => {
  things["changed-0"] = { ...things["changed-0"], value: 9, result: "changed is 9" };
  delete things["gone-0"];
};

const components: Version<{ value: number; second: boolean }> =
  ({ value, second }) =>
  () => {
    const first = new Group("first", { value });
    new Thing("after", { value: 1 }, { dependsOn: [first] });
    if (second) new Group("second", { value: first.inner.result }, { dependsOn: [first] });
    return { inner: first.inner.result };
  };

const guarded: Version<{ key: number; protect: boolean }> =
  ({ key, protect }) =>
  () => {
    const below = new Thing("below");
    const a = new Thing("a", { key, value: below.result }, { protect });
    return { result: a.result };
  };
const below = (): void => void new Thing("below");

export const CASES: Readonly<Record<string, readonly Stage[]>> = {
  create: [...both(chain), { command: "up", program: chain }, { command: "preview", program: chain }],
  update: [{ command: "up", program: updated(1) }, ...both(updated(2))],
  "replace, creating first": [
    { command: "up", program: replaced({ key: 1 }) },
    ...both(replaced({ key: 2 })),
  ],
  "replace, deleting first": [
    { command: "up", program: replaced({ key: 1, first: true }) },
    ...both(replaced({ key: 2, first: true })),
  ],
  "replace, deleting first as the provider wants": [
    { command: "up", program: providerDeletesFirst(1) },
    ...both(providerDeletesFirst(2)),
  ],
  delete: [
    { command: "up", program: chain },
    ...both(() => void new Thing("alone")),
    { command: "up", program: chain },
    { command: "destroy" },
  ],
  "failure of a creation": [
    { command: "up", program: () => void new Thing("old") },
    {
      command: "up",
      before: ({ faults }) => {
        faults["create b"] = "quota exceeded";
      },
      program: interrupted,
    },
    {
      command: "up",
      before: (world) => {
        world.faults = {};
      },
      program: interrupted,
    },
  ],
  "failure of an update": [
    { command: "up", program: updated(1) },
    {
      command: "up",
      before: ({ faults }) => {
        faults["update a"] = "quota exceeded";
      },
      program: updated(2),
    },
    {
      command: "up",
      before: (world) => {
        world.faults = {};
      },
      program: updated(2),
    },
  ],
  "failure of a deletion": [
    { command: "up", program: updated(1) },
    {
      command: "up",
      before: ({ faults }) => {
        faults["delete b"] = "still in use";
      },
    },
    {
      command: "up",
      before: (world) => {
        world.faults = {};
      },
    },
  ],
  "failure half way": [
    {
      command: "up",
      before: ({ halfMade }) => void halfMade.push("b"),
      program: halfMade,
    },
    {
      command: "up",
      before: (world) => {
        world.halfMade = [];
      },
      program: halfMade,
    },
  ],
  "refused inputs": [
    { command: "preview", program: () => void new Thing("a", { value: "forbidden", key: "forbidden" }) },
    { command: "up", program: () => void new Thing("a", { value: "forbidden", key: "forbidden" }) },
  ],
  "failure of the program": [
    {
      command: "up",
      program: () => {
        throw new Error("no such model");
      },
    },
  ],
  secrets: [...both(secrets("first text")), ...both(secrets("second text"))],
  "stack reference": [
    { command: "up", stack: "source", program: source("first text") },
    ...both(reader),
    { command: "up", stack: "source", program: source("second text") },
    ...both(reader),
    { command: "destroy" },
  ],
  "stack reference to nothing": [{ command: "up", program: reader }],
  "refresh after drift": [
    { command: "up", program: drifting },
    { command: "refresh", before: drift },
    ...both(drifting),
  ],
  "up with refresh after drift": [
    { command: "up", program: drifting },
    { command: "up --refresh", before: drift, program: drifting },
  ],
  components: [
    ...both(components({ value: 1, second: true })),
    ...both(components({ value: 2, second: true })),
    { command: "up", program: components({ value: 2, second: false }) },
    { command: "destroy" },
  ],
  protection: [
    { command: "up", program: guarded({ key: 1, protect: true }) },
    { command: "up", program: below },
    { command: "up", program: guarded({ key: 2, protect: true }) },
    { command: "destroy" },
    { command: "destroy --exclude-protected" },
    { command: "up", program: guarded({ key: 1, protect: false }) },
    { command: "up", program: below },
  ],
  "protection of what others need": [
    {
      command: "up",
      program: () => {
        const a = new Thing("a", {}, { protect: true });
        new Thing("above", { value: a.result });
      },
    },
    { command: "up" },
  ],
};
