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
  await Promise.all(existing.map((resource) => refreshOne(run, resource)));
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
  for (const operation of run.resources.interrupted) await recoverOne(run, operation);
  run.resources.save();
}

async function recoverOne(run: Run, { resource, type }: PendingOperation): Promise<void> {
  const old = run.resources.old(resource.urn);
  const interrupted = `interrupted while ${type}`;
  if (type === "deleting") return recoverDeletion(run, resource, interrupted);
  if (type === "updating") {
    if (old) run.resources.exchange(old, { ...old, initErrors: [interrupted] });
    return;
  }
  const found = await run.providers.clientFor(resource.type).recover(resource);
  if (found === "unknown") {
    run.warn(
      resource.urn,
      `${interrupted}: it may exist without being in the state; look for it, and delete it`,
    );
  } else if (found && !run.resources.olds.some(({ urn, id }) => urn === resource.urn && id === found.id)) {
    const left = { ...resource, id: found.id, outputs: found.outputs, initErrors: [interrupted] };
    // Beside a resource of the same name it is the unfinished half of a replacement, which will be made anew.
    run.resources.adopt(old ? { ...left, delete: true } : left);
  }
}

/** An interrupted deletion may have happened or not, or by half: what is left must not be taken for sound. */
async function recoverDeletion(run: Run, resource: ResourceState, interrupted: string): Promise<void> {
  const left = run.resources.olds.find(({ urn, id }) => urn === resource.urn && id === resource.id);
  if (!left) return;
  if (await run.providers.clientFor(left.type).read(left)) {
    run.resources.exchange(left, { ...left, initErrors: [interrupted] });
  } else {
    run.resources.remove(left);
  }
}
