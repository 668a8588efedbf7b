import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { EmbeddedStack, type Program, type Provider } from "../../../automation/embedded/index.ts";
import { Thing } from "./world.ts";

type Bag = Record<string, unknown>;
interface Entry {
  id: string;
  urn: string;
  bag: Bag;
}

/** A cloud that outlives the process which changes it, and gives every thing an id of its own: a leak shows. */
export class DurableWorld implements Provider {
  readonly #file: string;
  readonly #checkpoint: () => void;

  /** @param checkpoint called before and after every change: where a process may die. */
  constructor(folder: string, checkpoint: () => void = () => {}) {
    this.#file = path.join(folder, "world.json");
    this.#checkpoint = checkpoint;
  }

  entries(): Entry[] {
    try {
      return JSON.parse(readFileSync(this.#file, "utf8"));
    } catch {
      return [];
    }
  }

  #change(next: (entries: Entry[]) => Entry[]): void {
    this.#checkpoint();
    writeFileSync(this.#file, JSON.stringify(next(this.entries())));
    this.#checkpoint();
  }

  async diff(_id: string, _urn: string, olds: Bag, news: Bag) {
    const replaced = olds.key !== news.key;
    return {
      changes: replaced || olds.value !== news.value,
      replaces: replaced ? ["key"] : [],
      deleteBeforeReplace: news.deleteFirst === true,
    };
  }

  async create(urn: string, bag: Bag) {
    const id = `${bag.name}-${crypto.randomUUID()}`;
    this.#change((entries) => [...entries, { id, urn, bag }]);
    return { id, outs: bag };
  }

  async update(id: string, urn: string, _olds: Bag, bag: Bag) {
    this.#change((entries) => entries.map((entry) => (entry.id === id ? { id, urn, bag } : entry)));
    return { outs: bag };
  }

  async read(id: string) {
    const found = this.entries().find((entry) => entry.id === id);
    return found ? { id, props: found.bag } : {};
  }

  async delete(id: string) {
    this.#change((entries) => entries.filter((entry) => entry.id !== id));
  }

  async recover(urn: string) {
    const found = this.entries().findLast((entry) => entry.urn === urn);
    return found && { id: found.id, outs: found.bag };
  }
}

/** Two versions of a program whose difference holds every kind of step. */
const PROGRAMS: Record<string, () => void> = {
  first: () => {
    const updated = new Thing("updated", { value: 1 });
    new Thing("replaced", { key: 1, value: updated.value });
    new Thing("deleted-first", { key: 1, deleteFirst: true });
    const removed = new Thing("removed", {});
    new Thing("removed-too", { value: removed.value });
  },
  second: () => {
    const updated = new Thing("updated", { value: 2 });
    new Thing("replaced", { key: 2, value: updated.value });
    new Thing("deleted-first", { key: 2, deleteFirst: true });
    new Thing("added", { value: updated.value });
  },
};

export const NAMES: Record<string, string[]> = {
  first: ["deleted-first", "removed", "removed-too", "replaced", "updated"],
  second: ["added", "deleted-first", "replaced", "updated"],
};

export function durableStack(folder: string, version: string, world: DurableWorld): EmbeddedStack {
  return new EmbeddedStack({
    project: "demo",
    name: "durable",
    program: (async () => PROGRAMS[version]?.()) as Program,
    providers: { test: world },
    stateFolder: folder,
    passphrase: "correct horse",
  });
}
