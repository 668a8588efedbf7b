/** What waits: whose it is decides when it comes. */
export interface Owned {
  readonly tenant: string;
}

/** First come, first served within a tenant; tenants take turns. Everything takes constant time. */
export class FairQueue<Item extends Owned> {
  // Map and Set keep the order in which things were put in: the first tenant is the next one.
  readonly #tenants = new Map<string, Set<Item>>();

  get isEmpty(): boolean {
    return this.#tenants.size === 0;
  }

  add(item: Item): void {
    const items = this.#tenants.get(item.tenant);
    if (items) items.add(item);
    else this.#tenants.set(item.tenant, new Set([item]));
  }

  remove(item: Item): void {
    const items = this.#tenants.get(item.tenant);
    if (items?.delete(item) && items.size === 0) this.#tenants.delete(item.tenant);
  }

  /** Takes the next one out; its tenant is the last to come again. */
  take(): Item | undefined {
    for (const [tenant, items] of this.#tenants) {
      this.#tenants.delete(tenant);
      for (const item of items) {
        items.delete(item);
        if (items.size > 0) this.#tenants.set(tenant, items);
        return item;
      }
    }
    return undefined;
  }
}
