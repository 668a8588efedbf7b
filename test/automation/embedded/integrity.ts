import type { ResourceState } from "../../../automation/embedded/state.ts";

/** What `pulumi stack import` and every command of the CLI demand of a deployment's resources. */
export function integrityProblems(resources: readonly ResourceState[]): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  const providers = new Set<string>();
  for (const resource of resources) {
    const {
      urn,
      type,
      id,
      parent,
      provider,
      custom,
      dependencies = [],
      propertyDependencies = {},
    } = resource;
    const needed = [...dependencies, ...Object.values(propertyDependencies).flatMap((urns) => urns ?? [])];
    if (parent !== undefined) needed.push(parent);
    for (const need of needed)
      if (!seen.has(need)) problems.push(`${urn} needs ${need}, which is not before it`);
    const isProvider = type.startsWith("pulumi:providers:");
    if (custom && !isProvider && !(provider && providers.has(provider)))
      problems.push(`${urn} has no provider`);
    if (seen.has(urn) && !resource.delete) problems.push(`${urn} is there twice`);
    if (custom && !resource.id) problems.push(`${urn} has no id`);
    seen.add(urn);
    if (isProvider) providers.add(`${urn}::${id}`);
  }
  return problems;
}
