import { isDeepStrictEqual } from "node:util";
import { isProviderType } from "./providers.ts";
import type { Run } from "./run.ts";
import type { PendingOperation, ResourceState } from "./state.ts";
import { unwrapped } from "./values.ts";

/** Brings the state in line with what really exists: what is gone is dropped, what changed is taken over. */
export async function refresh(run: Run): Promise<void> {
  const existing = run.resources.olds.filter(
    (resource) => resource.custom && !resource.external && !isProviderType(resource.type),
  );
  const results = await Promise.allSettled(existing.map((resource) => refreshOne(run, resource)));
  const failure = results.find((result) => result.status === "rejected");
  if (failure) throw failure.reason;
}

function refreshOne(run: Run, resource: ResourceState): Promise<void> {
  return run.step("refresh", resource, async () => {
    const found = await run.providers.clientFor(resource.type).read(resource);
    if (!found) {
      run.resources.remove(resource);
      return;
    }
    if (isDeepStrictEqual(unwrapped(found.outputs), unwrapped(resource.outputs))) return;
    run.resources.exchange(resource, { ...resource, inputs: found.inputs, outputs: found.outputs });
  });
}

/** Takes up the operations that a crash cut short, so that nothing is leaked and nothing half-done is believed. */
export async function recover(run: Run): Promise<void> {
  for (const operation of run.resources.interrupted) {
    if (run.preview) {
      // Recovery may change things, and a preview must not; it shows the state as it stands.
      run.warn(operation.resource.urn, `interrupted while ${operation.type}: the next run takes it up`);
    } else {
      run.resources.takeUp(operation, await changeFor(run, operation));
    }
  }
}

/** Finds out what became of an interrupted operation. @returns what has to change in the state. */
async function changeFor(run: Run, { resource, type }: PendingOperation): Promise<() => void> {
  const { resources, providers } = run;
  const interrupted = [`interrupted while ${type}`];
  const provider = providers.clientFor(resource.type);
  if (type === "creating") return recoverCreation(run, resource, interrupted);
  const left = resources.olds.find(({ urn, id }) => urn === resource.urn && id === resource.id);
  if (!left) return () => {};
  // A deletion may have happened or not, or by half: what is left must not be taken for sound.
  if (type === "deleting" && !(await provider.read(left))) return () => resources.remove(left);
  return () => resources.exchange(left, { ...left, initErrors: interrupted });
}

async function recoverCreation(
  run: Run,
  resource: ResourceState,
  interrupted: string[],
): Promise<() => void> {
  const { resources, providers } = run;
  const found = await providers.clientFor(resource.type).recover(resource);
  if (found === "unknown") {
    run.warn(resource.urn, `${interrupted}: it may exist unknown to the state; look for it, and delete it`);
    return () => {};
  }
  const isKnown = resources.olds.some(({ urn, id }) => urn === resource.urn && id === found?.id);
  if (!found || isKnown) return () => {};
  const left = { ...resource, id: found.id, outputs: found.outputs, initErrors: interrupted };
  // Beside a resource of the same name it is the unfinished half of a replacement, which will be made anew.
  return () => resources.adopt(resources.old(resource.urn) ? { ...left, delete: true } : left);
}
