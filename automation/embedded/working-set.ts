import type { PendingKind, PendingOperation, ResourceState, StateFile } from "./state.ts";
import { containsSecret, type Properties, secret } from "./values.ts";

/** The URN part of a provider reference (`urn::id`). */
export const providerUrn = (reference: string): string => reference.slice(0, reference.lastIndexOf("::"));

/** The URNs of what a resource needs to exist. */
function needs(resource: ResourceState): string[] {
  const { parent, provider, dependencies = [], propertyDependencies = {} } = resource;
  const properties = Object.values(propertyDependencies).flatMap((urns) => urns ?? []);
  const owners = [parent, provider && providerUrn(provider)].filter((urn) => urn !== undefined);
  return [...owners, ...dependencies, ...properties];
}

/** Whether `resource` needs `target` to exist. */
export function dependsOn(resource: ResourceState, target: ResourceState): boolean {
  return resource !== target && needs(resource).includes(target.urn);
}

/** What a Pulumi deployment demands: each resource after all that it needs, and no need of what is not there. */
function asDeployment(resources: readonly ResourceState[]): ResourceState[] {
  const byUrn = Map.groupBy(resources, ({ urn }) => urn);
  const ordered = new Set<ResourceState>();
  const place = (resource: ResourceState, path: readonly ResourceState[]): void => {
    if (ordered.has(resource) || path.includes(resource)) return;
    const needed = needs(resource).flatMap((urn) => byUrn.get(urn) ?? []);
    for (const other of needed) place(other, [...path, resource]);
    ordered.add(resource);
  };
  for (const resource of resources) place(resource, []);
  return [...ordered].map((resource) => withoutMissing(resource, byUrn));
}

function withoutMissing(
  resource: ResourceState,
  byUrn: ReadonlyMap<string, readonly ResourceState[]>,
): ResourceState {
  if (needs(resource).every((urn) => byUrn.has(urn))) return resource;
  const existing = (urns: readonly string[]) => urns.filter((urn) => byUrn.has(urn));
  const properties = Object.entries(resource.propertyDependencies ?? {});
  return {
    ...resource,
    dependencies: resource.dependencies && existing(resource.dependencies),
    propertyDependencies: Object.fromEntries(properties.map(([key, urns]) => [key, existing(urns ?? [])])),
  };
}

/** An output is secret where the program says so or where it repeats a secret input. */
function withSecrets({ inputs, outputs, additionalSecretOutputs }: ResourceState): Properties | undefined {
  if (!outputs) return undefined;
  const isSecret = (key: string) => additionalSecretOutputs?.includes(key) || containsSecret(inputs?.[key]);
  const entries = Object.entries(outputs).map(([key, value]) => [
    key,
    isSecret(key) && !containsSecret(value) ? secret(value) : value,
  ]);
  return Object.fromEntries(entries);
}

/**
 * The resources of one run: what the last run left (`olds`, in order) and what this one has settled.
 * Every change is written to the state file before the next one begins, so that a crash at any point loses nothing.
 */
export class WorkingSet {
  readonly #file: StateFile;
  readonly #readOnly: boolean;
  #olds: ResourceState[];
  #interrupted: PendingOperation[];
  #closed = false;
  readonly #settled = new Map<string, ResourceState>();
  readonly #pending = new Map<ResourceState, PendingKind>();

  /** @param readOnly a preview: nothing is written. */
  constructor(file: StateFile, readOnly: boolean) {
    this.#file = file;
    this.#readOnly = readOnly;
    this.#olds = [...file.resources];
    this.#interrupted = [...file.pending];
  }

  /** Operations that a crash cut short and that nobody has taken up yet. */
  get interrupted(): readonly PendingOperation[] {
    return this.#interrupted;
  }

  /** What the last run left and this one has not touched. */
  get olds(): readonly ResourceState[] {
    return this.#olds;
  }

  /** Everything as it would be written now. */
  get all(): readonly ResourceState[] {
    return asDeployment([...this.#settled.values(), ...this.#olds]);
  }

  old(urn: string): ResourceState | undefined {
    return this.#olds.find((resource) => resource.urn === urn && !resource.delete);
  }

  settled(urn: string): ResourceState | undefined {
    return this.#settled.get(urn);
  }

  /** Settles a resource. `old`, if any, is the state that it succeeds. */
  settle(resource: ResourceState, old?: ResourceState): void {
    this.#place(resource);
    this.#olds = this.#olds.filter((other) => other !== old);
    this.save();
  }

  /** Settles a replacement; the old resource waits for its deletion. */
  settleBeside(resource: ResourceState, old: ResourceState): void {
    this.#place(resource);
    this.#olds = this.#olds.map((other) => (other === old ? { ...old, delete: true } : other));
    this.save();
  }

  #place(resource: ResourceState): void {
    this.#pending.delete(resource);
    resource.outputs = withSecrets(resource);
    this.#settled.set(resource.urn, resource);
  }

  /** Takes up what an interrupted operation left; the program decides next what becomes of it. */
  adopt(resource: ResourceState): void {
    this.#olds.push({ ...resource, outputs: withSecrets(resource) });
  }

  /** Exchanges a resource's state in place, for what was found to be so. */
  exchange(old: ResourceState, current: ResourceState): void {
    const found = { ...current, outputs: withSecrets(current) };
    this.#olds = this.#olds.map((other) => (other === old ? found : other));
    this.save();
  }

  remove(resource: ResourceState): void {
    this.#pending.delete(resource);
    this.#olds = this.#olds.filter((other) => other !== resource);
    this.save();
  }

  /** Strikes an interrupted operation off, with what its recovery changed, in one write. */
  takeUp(operation: PendingOperation, change: () => void): void {
    this.#interrupted = this.#interrupted.filter((other) => other !== operation);
    change();
    this.save();
  }

  /** Records that an operation begins: after a crash the next run knows that it may have happened. */
  begin(resource: ResourceState, kind: PendingKind): void {
    this.#pending.set(resource, kind);
    this.save();
  }

  abandon(resource: ResourceState): void {
    this.#pending.delete(resource);
    this.save();
  }

  /** Ends the run's right to write: the lock is about to be another's. */
  close(): void {
    this.#closed = true;
  }

  save(): void {
    if (this.#closed) throw new Error("the run is over, its state is no longer written");
    if (this.#readOnly) return;
    const begun = [...this.#pending].map(([resource, type]) => ({ resource, type }));
    this.#file.save([...this.all], [...this.#interrupted, ...begun]);
  }
}
