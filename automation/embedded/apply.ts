import type { Operation } from "../index.ts";
import { deleteAll, refuseProtected } from "./delete.ts";
import type { Goal } from "./goal.ts";
import { isProviderType, type PartialFailure } from "./providers.ts";
import type { Run } from "./run.ts";
import type { PendingKind, ResourceState } from "./state.ts";
import { masked, type Properties, UNKNOWN, unwrapped } from "./values.ts";
import { dependsOn, providerUrn } from "./working-set.ts";

/** Brings one resource to its goal: nothing, an update, a creation or a replacement. */
export async function apply(run: Run, goal: Goal): Promise<ResourceState> {
  await run.claim(goal.urn);
  const old = run.resources.old(goal.urn);
  if (!goal.custom) return applyComponent(run, goal, old);
  const provider = run.providers.clientFor(goal.type);
  const inputs = await provider.check(goal.urn, old?.inputs ?? {}, goal.inputs);
  const resource = stateOf(goal, inputs, old);
  if (!old) return create(run, run.isReplaced(goal.urn) ? "create-replacement" : "create", resource);

  const difference = await provider.diff(old, inputs);
  if (difference.replace) {
    const deleteFirst = goal.deleteBeforeReplace ?? difference.deleteBeforeReplace;
    return deleteFirst ? replaceAfterDeletion(run, resource, old) : replaceBeforeDeletion(run, resource, old);
  }
  // A resource whose last operation failed half way is brought to its goal even if that did not change.
  if (difference.changed || old.initErrors?.length) return update(run, resource, old);
  return run.step("same", goal, async () => {
    Object.assign(resource, { id: old.id, outputs: old.outputs, modified: old.modified });
    run.resources.settle(resource, old);
    return resource;
  });
}

function applyComponent(run: Run, goal: Goal, old: ResourceState | undefined): Promise<ResourceState> {
  const resource = { ...stateOf(goal, goal.inputs, old), outputs: old?.outputs ?? {} };
  return run.step(old ? "same" : "create", goal, async () => {
    run.resources.settle(resource, old);
    return resource;
  });
}

function stateOf(goal: Goal, inputs: Properties, old: ResourceState | undefined): ResourceState {
  const now = new Date().toISOString();
  const orUndefined = <T>(list: T[]) => (list.length > 0 ? list : undefined);
  return {
    urn: goal.urn,
    custom: goal.custom,
    type: goal.type,
    inputs,
    outputs: {},
    parent: goal.parent || undefined,
    protect: goal.protect || undefined,
    dependencies: orUndefined([...goal.dependencies].sort()),
    provider: goal.provider || undefined,
    propertyDependencies: Object.keys(goal.propertyDependencies).length
      ? goal.propertyDependencies
      : undefined,
    additionalSecretOutputs: orUndefined(goal.additionalSecretOutputs),
    created: old?.created ?? now,
    modified: now,
  };
}

/** One call of a provider that changes something, and how its result enters the state. */
interface Mutation {
  kind: PendingKind;
  call: () => Promise<void>;
  settle: () => void;
}

/** Calls the provider with the state knowing that it is under way; keeps what a half-failed call made. */
async function mutate(
  run: Run,
  resource: ResourceState,
  { kind, call, settle }: Mutation,
): Promise<ResourceState> {
  run.resources.begin(resource, kind);
  try {
    await call();
  } catch (error) {
    const failure = error as PartialFailure;
    if (failure.id === undefined) {
      run.resources.abandon(resource);
      throw error;
    }
    resource.id = failure.id;
    resource.outputs = failure.properties ?? {};
    resource.initErrors = (failure.reasons ?? [failure.message]).map((reason) => masked(reason, resource));
    settle();
    throw error;
  }
  settle();
  return resource;
}

function create(
  run: Run,
  operation: Operation,
  resource: ResourceState,
  settle = () => run.resources.settle(resource),
): Promise<ResourceState> {
  return run.step(operation, resource, async () => {
    if (run.preview) {
      resource.outputs = resource.inputs;
      if (isProviderType(resource.type)) resource.id = UNKNOWN;
      settle();
      return resource;
    }
    const call = async () => {
      const created = await run.providers
        .clientFor(resource.type)
        .create(resource.urn, resource.inputs ?? {});
      resource.id = created.id;
      resource.outputs = created.outputs;
    };
    return mutate(run, resource, { kind: "creating", call, settle });
  });
}

function update(run: Run, resource: ResourceState, old: ResourceState): Promise<ResourceState> {
  const settle = () => run.resources.settle(resource, old);
  return run.step("update", resource, async () => {
    resource.id = old.id;
    if (run.preview) {
      resource.outputs = resource.inputs;
      settle();
      return resource;
    }
    const call = async () => {
      resource.outputs = await run.providers.clientFor(resource.type).update(old, resource.inputs ?? {});
    };
    return mutate(run, resource, { kind: "updating", call, settle });
  });
}

function replaceBeforeDeletion(
  run: Run,
  resource: ResourceState,
  old: ResourceState,
): Promise<ResourceState> {
  refuseProtected([old]);
  resource.created = resource.modified;
  return create(run, "create-replacement", resource, () => run.resources.settleBeside(resource, old));
}

async function replaceAfterDeletion(
  run: Run,
  resource: ResourceState,
  old: ResourceState,
): Promise<ResourceState> {
  resource.created = resource.modified;
  const candidates = dependentsOf(run, old);
  // Their registrations wait: a dependent must not be found unchanged while it is being deleted.
  const release = run.hold(candidates.map(({ urn }) => urn));
  try {
    const doomed = await replacedWith(run, old, candidates);
    refuseProtected(doomed);
    await deleteAll(run, doomed, "delete-replaced");
  } finally {
    release();
  }
  return create(run, "create-replacement", resource);
}

/** All that depends on a resource, over any number of steps, and has not been registered yet. */
function dependentsOf(run: Run, old: ResourceState): ResourceState[] {
  const found = new Set([old]);
  for (const resource of run.resources.olds) {
    if (resource.delete || run.isClaimed(resource.urn)) continue;
    if ([...found].some((other) => dependsOn(resource, other))) found.add(resource);
  }
  found.delete(old);
  return [...found];
}

/** What must go before `old` can be deleted first: itself, and all that could not outlive its replacement. */
async function replacedWith(
  run: Run,
  old: ResourceState,
  candidates: readonly ResourceState[],
): Promise<ResourceState[]> {
  const doomed = [old];
  for (const resource of candidates) {
    const causes = doomed.filter((other) => dependsOn(resource, other));
    if (causes.length > 0 && (await mustBeReplaced(run, resource, causes))) doomed.push(resource);
  }
  return doomed;
}

async function mustBeReplaced(run: Run, resource: ResourceState, causes: ResourceState[]): Promise<boolean> {
  const urns = new Set(causes.map(({ urn }) => urn));
  if (resource.provider && urns.has(providerUrn(resource.provider))) return true;
  if (!resource.custom) return false;
  const properties = Object.entries(resource.propertyDependencies ?? {})
    .filter(([, sources]) => sources?.some((urn) => urns.has(urn)))
    .map(([property]) => property);
  if (properties.length === 0) return false;
  const known = unwrapped(resource.inputs ?? {}) as Properties;
  const inputs = { ...known, ...Object.fromEntries(properties.map((property) => [property, UNKNOWN])) };
  return (await run.providers.clientFor(resource.type).diff(resource, inputs)).replace;
}
