import type { StackOutput } from "../index.ts";
import type { ResourceState } from "./state.ts";
import { containsSecret, containsUnknown, type Properties, unwrapped } from "./values.ts";

const ROOT_TYPE = "pulumi:pulumi:Stack";

/** The outputs of a stack, secrets wrapped; undefined where it was never brought up. */
export function outputsOf(resources: readonly ResourceState[]): Properties | undefined {
  return resources.find(({ type }) => type === ROOT_TYPE)?.outputs;
}

/** Outputs as people and programs read them: secrets in clear, and marked. */
export function describeOutputs(outputs: Properties): Record<string, StackOutput> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => [
      name,
      containsUnknown(value)
        ? { value: undefined, secret: containsSecret(value), unknown: true }
        : { value: unwrapped(value), secret: containsSecret(value) },
    ]),
  );
}
