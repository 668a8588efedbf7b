import type { ResourceState } from "../../automation/embedded/state.ts";
import { isSecret, mapValues } from "../../automation/embedded/values.ts";
import type { StackResource } from "../../automation/index.ts";

/** What two runs of one program never have in common: times, places in files, and the identity of a provider. */
const VOLATILE = ["created", "modified", "sourcePosition", "stackTrace"];
/** The state leaves out what is empty or false, or has it, and means the same. */
const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  (typeof value === "object" && Object.keys(value).length === 0);

const isProvider = ({ type }: StackResource): boolean => type.startsWith("pulumi:providers:");

/** Resources as they can be compared: secrets opened and told as such, each place the same in every run. */
export function normalised(resources: readonly StackResource[]): Record<string, unknown>[] {
  return resources.map(normalisedOne).sort((a, b) => keyOf(a).localeCompare(keyOf(b), "en"));
}

const keyOf = ({ urn, delete: doomed, id }: Record<string, unknown>): string => `${urn} ${doomed} ${id}`;

function normalisedOne(resource: StackResource): Record<string, unknown> {
  const { provider, dependencies, ...rest } = resource as ResourceState;
  const known = Object.entries(rest).filter(([key, value]) => !VOLATILE.includes(key) && !isEmpty(value));
  const identity = isProvider(resource) ? { id: "[id]" } : {};
  const reference = provider ? { provider: provider.replace(/::[^:]*$/, "::[id]") } : {};
  // The list is a set: its order depends on which promise of the program was settled first.
  const needed = dependencies?.length ? { dependencies: [...dependencies].sort() } : {};
  const all = { ...Object.fromEntries(known), ...reference, ...identity, ...needed };
  return mapValues(all, opened) as Record<string, unknown>;
}

function opened(value: unknown): unknown {
  if (isSecret(value)) return { secret: value.value };
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a.localeCompare(b, "en")));
}
