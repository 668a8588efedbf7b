import type { Observation } from "./observe.ts";

/** Something that the embedded runner does otherwise than the CLI, on purpose. */
interface Difference {
  reason: string;
  /** The stages that show it, by case. */
  where: Readonly<Record<string, readonly number[]>>;
  /** What the embedded runner does instead; the rest stays as the CLI does it. */
  instead: (cli: Observation, around: { previous: Observation; next: Observation }) => Partial<Observation>;
}

const ROOT = "conformance-one";
const without = (list: readonly string[], ...parts: string[]): string[] =>
  list.filter((text) => !parts.some((part) => text.includes(part)));
const adding = (list: readonly string[], ...more: string[]): string[] => [...list, ...more].sort();

export const DIFFERENCES: readonly Difference[] = [
  {
    reason:
      "The CLI tells that the stack itself is done when its outputs are registered, which a program that fails before " +
      "never does; the embedded runner tells it when it is done.",
    where: {
      "failure of an update": [1],
      "failure of a creation": [1],
      protection: [2],
    },
    instead: ({ operations }) => ({ operations: adding(operations, `same ${ROOT}`) }),
  },
  {
    reason: "The same, where the stack is new.",
    where: { "failure half way": [0], "stack reference to nothing": [0] },
    instead: ({ operations }) => ({ operations: adding(operations, `create ${ROOT}`) }),
  },
  {
    reason:
      "A program that fails before its first registration was sent leaves the embedded runner's state as it was.",
    where: { "failure of the program": [0] },
    instead: () => ({ operations: [], changeSummary: {}, state: [] }),
  },
  {
    reason: "The CLI masks secrets in a preview, so that our runner of it tells such outputs as unknown.",
    where: { secrets: [0, 2], "stack reference": [1, 4] },
    instead: ({ outputs }, { next }) => ({
      outputs: Object.fromEntries(
        Object.keys(outputs).map((name) => [name, isMadeLater(name) ? outputs[name] : next.outputs[name]]),
      ),
    }),
  },
  {
    reason: "The CLI counts a reference whose stack has other outputs than last time as a change.",
    where: { "stack reference": [4, 5] },
    instead: ({ changeSummary: { read: _, ...rest } }) => ({ changeSummary: rest }),
  },
  {
    reason:
      "The CLI refreshes components and its own providers too, which exist nowhere but in the state. The sum of its " +
      "refresh tells what was found.",
    where: { "refresh after drift": [1], "up with refresh after drift": [1] },
    instead: ({ operations, order, command, changeSummary }) => ({
      operations: without(operations, `refresh ${ROOT}`, "refresh default"),
      order: without(order, `refresh ${ROOT}`, "refresh default"),
      changeSummary: command === "refresh" ? {} : changeSummary,
    }),
  },
  {
    reason:
      "The CLI's refresh forgets which input came from where; the embedded runner keeps it for replacements.",
    where: { "refresh after drift": [1, 2] },
    instead: ({ state }) => ({
      state: state.map((resource) =>
        resource.custom ? { ...resource, ...inputSources(resource) } : resource,
      ),
    }),
  },
  {
    reason:
      "The embedded runner refuses to delete what is protected before it begins; the CLI first deletes all that needs " +
      "it, and fails then.",
    where: { protection: [1, 3] },
    instead: ({ order }) => ({ failed: [], order: without(order, "delete a") }),
  },
  {
    reason: "The same, with something that needs what is protected.",
    where: { "protection of what others need": [1] },
    instead: ({ operations, order }, { previous }) => ({
      operations: without(operations, "delete above"),
      failed: [],
      order: without(order, "delete a"),
      changeSummary: { same: 1 },
      state: previous.state,
      world: previous.world,
    }),
  },
];

/** Outputs that no preview can know: the provider makes them. */
const isMadeLater = (name: string): boolean => ["open", "result"].includes(name);

const inputSources = ({ type, inputs }: Record<string, unknown>): Record<string, unknown> =>
  String(type).startsWith("pulumi:")
    ? {}
    : { propertyDependencies: Object.fromEntries(Object.keys(inputs as object).map((name) => [name, []])) };

/** What the embedded runner must do, where this is what the CLI did. */
export function expectedOf(name: string, cli: readonly Observation[]): Observation[] {
  return cli.map((stage, index) => {
    const shown = DIFFERENCES.filter(({ where }) => where[name]?.includes(index));
    const around = { previous: cli[index - 1] ?? stage, next: cli[index + 1] ?? stage };
    return Object.assign({}, stage, ...shown.map(({ instead }) => instead(stage, around)));
  });
}
