import type { PendingKind, PendingOperation, ResourceState, StateFile } from "./state.ts";

/** The URN part of a provider reference (`urn::id`). */
export const providerUrn = (reference: string): string => reference.slice(0, reference.lastIndexOf("::"));

/** Whether `resource` needs `target` to exist. */
export function dependsOn(resource: ResourceState, target: ResourceState): boolean {
  if (resource === target) return false;
  return (
    resource.parent === target.urn ||
    (resource.provider !== undefined && providerUrn(resource.provider) === target.urn) ||
    (resource.dependencies ?? []).includes(target.urn) ||
    Object.values(resource.propertyDependencies ?? {}).some((urns) => urns?.includes(target.urn))
  );
}

/**
 * The resources of one run: what the last run left (`olds`, in order) and what this one has settled (`news`).
 * Every change is written to the state file before the next one begins, so that a crash at any point loses nothing.
 */
export class WorkingSet {
  readonly #file: StateFile;
  readonly #readOnly: boolean;
  #olds: ResourceState[];
  readonly #news: ResourceState[] = [];
  readonly #newByUrn = new Map<string, ResourceState>();
  readonly #pending = new Map<ResourceState, PendingKind>();

  /** @param readOnly a preview: nothing is written. */
  constructor(file: StateFile, readOnly: boolean) {
    this.#file = file;
    this.#readOnly = readOnly;
    this.#olds = [...file.resources];
  }

  get interrupted(): readonly PendingOperation[] {
    return this.#file.pending;
  }

  /** What the last run left and this one has not touched. */
  get olds(): readonly ResourceState[] {
    return this.#olds;
  }

  /** Everything as it would be written now. */
  get all(): readonly ResourceState[] {
    return [...this.#news, ...this.#olds];
  }

  old(urn: string): ResourceState | undefined {
    return this.#olds.find((resource) => resource.urn === urn && !resource.delete);
  }

  settled(urn: string): ResourceState | undefined {
    return this.#newByUrn.get(urn);
  }

  /** Settles a resource. `old`, if any, is the state that it succeeds. */
  settle(resource: ResourceState, old?: ResourceState): void {
    this.#pending.delete(resource);
    this.#news.push(resource);
    this.#newByUrn.set(resource.urn, resource);
    if (old) this.#olds = this.#olds.filter((other) => other !== old);
    this.save();
  }

  /** A replacement exists; the old resource waits for its deletion. */
  condemn(old: ResourceState): void {
    this.#olds = this.#olds.map((other) => (other === old ? { ...old, delete: true } : other));
    this.save();
  }

  /** Takes up what an interrupted run left; the program decides next what becomes of it. */
  adopt(resource: ResourceState): void {
    this.#olds.push(resource);
    this.save();
  }

  remove(resource: ResourceState): void {
    this.#pending.delete(resource);
    this.#olds = this.#olds.filter((other) => other !== resource);
    this.save();
  }

  /** Exchanges a resource's state in place, for what a refresh found. */
  exchange(old: ResourceState, current: ResourceState): void {
    this.#olds = this.#olds.map((other) => (other === old ? current : other));
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

  save(): void {
    if (this.#readOnly) return;
    const pending = [...this.#pending].map(([resource, type]) => ({ resource, type }));
    this.#file.save([...this.all], pending);
  }
}
