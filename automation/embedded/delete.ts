import type { Operation } from "../index.ts";
import { isProviderType } from "./providers.ts";
import type { Run } from "./run.ts";
import type { ResourceState } from "./state.ts";
import { dependsOn } from "./working-set.ts";

/** Refuses a deletion of protected resources before anything is deleted. */
export function refuseProtected(resources: readonly ResourceState[]): void {
  const held = resources.filter((resource) => resource.protect && !resource.delete);
  if (held.length === 0) return;
  throw new Error(
    `protected, and so not deleted: ${held.map(({ urn }) => urn).join(", ")}.\n` +
      "remedy: remove the protection in the program and bring the stack up once, then delete.",
  );
}

/** Deletes the resources, each only after all in the list that depend on it; independent ones at the same time. */
export async function deleteAll(
  run: Run,
  resources: readonly ResourceState[],
  operation: Operation = "delete",
): Promise<void> {
  const deletionOf = (resource: ResourceState): Promise<void> => {
    const known = run.deletions.get(resource);
    if (known !== undefined) return known;
    const deletion = (async () => {
      const dependents = resources.filter((other) => dependsOn(other, resource));
      await Promise.all(dependents.map(deletionOf));
      await deleteOne(run, resource, resource.delete ? "delete-replaced" : operation);
    })();
    run.deletions.set(resource, deletion);
    return deletion;
  };
  const results = await Promise.allSettled(resources.map(deletionOf));
  const failure = results.find((result) => result.status === "rejected");
  if (failure) throw failure.reason;
}

async function deleteOne(run: Run, resource: ResourceState, operation: Operation): Promise<void> {
  const existsOutside = resource.custom && !resource.external && !isProviderType(resource.type);
  await run.step(resource.external ? "discard" : operation, resource, async () => {
    if (existsOutside && !run.preview) {
      run.resources.begin(resource, "deleting");
      try {
        await run.providers.clientFor(resource.type).delete(resource);
      } catch (error) {
        run.resources.abandon(resource);
        throw error;
      }
    }
    run.resources.remove(resource);
  });
}
