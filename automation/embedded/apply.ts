import type { Operation } from "../index.ts";
import { deleteAll } from "./delete.ts";
import type { Goal } from "./goal.ts";
import { isProviderType, type PartialFailure } from "./providers.ts";
import type { Run } from "./run.ts";
import type { PendingKind, ResourceState } from "./state.ts";
import { containsSecret, type Properties, secret, UNKNOWN, unwrapped } from "./values.ts";
import { dependsOn, providerUrn } from "./working-set.ts";

/** Brings one resource to its goal: nothing, an update, a creation or a replacement. */
export async function apply(run: Run, goal: Goal): Promise<ResourceState> {
  const old = run.resources.old(goal.urn);
  if (!goal.custom) return applyComponent(run, goal, old);
  const provider = run.providers.clientFor(goal.type);
  const inputs = await provider.check(goal.urn, old?.inputs ?? {}, goal.inputs);
  const resource = stateOf(goal, inputs, old);
  if (!old) return create(run, resource, "create");

  const difference = await provider.diff(old, inputs);
  if (difference.replace) {
    return replace(run, resource, old, goal.deleteBeforeReplace ?? difference.deleteBeforeReplace);
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

/** An output is secret where the program says so or where it repeats a secret input. */
function withSecrets(resource: ResourceState, outputs: Properties): Properties {
  const isSecretOutput = (key: string) =>
    resource.additionalSecretOutputs?.includes(key) || containsSecret(resource.inputs?.[key]);
  return Object.fromEntries(
    Object.entries(outputs).map(([key, value]) => [
      key,
      isSecretOutput(key) && !containsSecret(value) ? secret(value) : value,
    ]),
  );
}

function create(
  run: Run,
  resource: ResourceState,
  operation: Operation,
  settled = () => run.resources.settle(resource),
): Promise<ResourceState> {
  return run.step(operation, resource, async () => {
    if (run.preview) {
      resource.outputs = withSecrets(resource, resource.inputs ?? {});
      if (isProviderType(resource.type)) resource.id = UNKNOWN;
    } else {
      await mutate(run, resource, "creating", async () => {
        const created = await run.providers
          .clientFor(resource.type)
          .create(resource.urn, resource.inputs ?? {});
        resource.id = created.id;
        resource.outputs = withSecrets(resource, created.outputs);
      });
    }
    settled();
    return resource;
  });
}

function update(run: Run, resource: ResourceState, old: ResourceState): Promise<ResourceState> {
  return run.step("update", resource, async () => {
    resource.id = old.id;
    if (run.preview) {
      resource.outputs = withSecrets(resource, resource.inputs ?? {});
    } else {
      await mutate(run, resource, "updating", async () => {
        const outputs = await run.providers.clientFor(resource.type).update(old, resource.inputs ?? {});
        resource.outputs = withSecrets(resource, outputs);
      });
    }
    run.resources.settle(resource, old);
    return resource;
  });
}

/** Runs a provider's call with the state knowing that it is under way; keeps what a half-failed call made. */
async function mutate(
  run: Run,
  resource: ResourceState,
  kind: PendingKind,
  call: () => Promise<void>,
): Promise<void> {
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
    resource.outputs = withSecrets(resource, failure.properties ?? {});
    resource.initErrors = failure.reasons ?? [failure.message];
    run.resources.settle(resource, run.resources.old(resource.urn));
    throw error;
  }
}

async function replace(
  run: Run,
  resource: ResourceState,
  old: ResourceState,
  deleteFirst: boolean,
): Promise<ResourceState> {
  if (old.protect) {
    throw new Error(
      "must be replaced, but is protected.\nremedy: remove its protection, or undo the change.",
    );
  }
  resource.created = resource.modified;
  if (deleteFirst) {
    await deleteAll(run, await replacedWith(run, old), "delete-replaced");
    return create(run, resource, "create-replacement");
  }
  return create(run, resource, "create-replacement", () => {
    run.resources.condemn(old);
    run.resources.settle(resource);
  });
}

/** What must go before `old` can be deleted first: itself, and all that could not outlive its replacement. */
async function replacedWith(run: Run, old: ResourceState): Promise<ResourceState[]> {
  const doomed = [old];
  for (const resource of run.resources.olds) {
    const causes = doomed.filter((other) => dependsOn(resource, other));
    if (resource.delete || causes.length === 0 || doomed.includes(resource)) continue;
    if (await mustBeReplaced(run, resource, causes)) doomed.push(resource);
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
