import type { ResourceState } from "../../../automation/embedded/state.ts";

const isProvider = ({ type }: ResourceState): boolean => type.startsWith("pulumi:providers:");

function problemsOf(resource: ResourceState, before: readonly ResourceState[]): string[] {
  const { urn, id, parent, provider, custom, dependencies = [], propertyDependencies = {} } = resource;
  const urns = new Set(before.map((other) => other.urn));
  const providers = before.filter(isProvider).map((other) => `${other.urn}::${other.id}`);
  const needed = [
    ...dependencies,
    ...Object.values(propertyDependencies).flatMap((list) => list ?? []),
    ...(parent === undefined ? [] : [parent]),
  ];
  const missing = needed.filter((need) => !urns.has(need));
  const rules: [boolean, string][] = [
    [missing.length === 0, `needs ${missing.join(", ")}, which is not before it`],
    [!custom || isProvider(resource) || providers.includes(provider ?? ""), "has no provider"],
    [!urns.has(urn) || resource.delete === true, "is there twice"],
    [!custom || Boolean(id), "has no id"],
  ];
  return rules.filter(([holds]) => !holds).map(([, problem]) => `${urn} ${problem}`);
}

/** What `pulumi stack import` and every command of the CLI demand of a deployment's resources. */
export function integrityProblems(resources: readonly ResourceState[]): string[] {
  return resources.flatMap((resource, index) => problemsOf(resource, resources.slice(0, index)));
}
