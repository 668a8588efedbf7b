import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { CheckFailure, Provider } from "@pulumi/pulumi/provider/index.js";

type Bag = Record<string, unknown>;

export interface Content {
  /** Everything that exists, by id. */
  things: Record<string, Bag>;
  /** Operations that fail (`create a`), and why. */
  faults: Record<string, string>;
  /** Names of things whose creation fails after it has made them. */
  halfMade: string[];
}

const EMPTY: Content = { things: {}, faults: {}, halfMade: [] };

const differs = (olds: Bag, news: Bag) => (key: string) =>
  JSON.stringify(olds[key]) !== JSON.stringify(news[key]);

/** Tells simple values only: an object may be a wrapped secret. */
const resultOf = ({ name, value }: Bag): string =>
  `${name} is ${typeof value === "object" ? "made" : JSON.stringify(value)}`;

/** A cloud in a file: the CLI's plugin, the embedded runner and whoever lets it drift see the same. */
export class FileWorld implements Provider {
  readonly version = "0.1.0";
  readonly #file: string;

  constructor(file: string | undefined) {
    if (!file) throw new Error("CONFORMANCE_WORLD names no file.\nremedy: set it to the world's file.");
    this.#file = file;
  }

  get content(): Content {
    return existsSync(this.#file) ? JSON.parse(readFileSync(this.#file, "utf8")) : structuredClone(EMPTY);
  }

  change(change: (content: Content) => void): void {
    const { content } = this;
    change(content);
    writeFileSync(this.#file, JSON.stringify(content));
  }

  #throwFault(operation: string, name: unknown): void {
    const fault = this.content.faults[`${operation} ${name}`];
    if (fault !== undefined) throw new Error(fault);
  }

  async check(_urn: string, _olds: Bag, news: Bag) {
    const refused = ["key", "value"].filter((property) => news[property] === "forbidden");
    const failures: CheckFailure[] = refused.map((property) => ({
      property,
      reason: "must not be forbidden",
    }));
    return { inputs: news, failures };
  }

  async diff(_id: string, _urn: string, olds: Bag, news: Bag) {
    const changed = ["value", "key"].filter(differs(olds, news));
    return {
      changes: changed.length > 0,
      replaces: changed.filter((property) => property === "key"),
      deleteBeforeReplace: news.deleteFirst === true,
    };
  }

  async create(_urn: string, inputs: Bag) {
    this.#throwFault("create", inputs.name);
    const id = `${inputs.name}-${JSON.stringify(inputs.key ?? 0)}`;
    const outs = { ...inputs, result: resultOf(inputs) };
    this.change(({ things }) => {
      things[id] = outs;
    });
    if (this.content.halfMade.includes(String(inputs.name))) {
      throw Object.assign(new Error("not healthy"), { id, properties: outs, reasons: ["not healthy"] });
    }
    return { id, outs };
  }

  async update(id: string, _urn: string, _olds: Bag, news: Bag) {
    this.#throwFault("update", news.name);
    const outs = { ...news, result: resultOf(news) };
    this.change(({ things }) => {
      things[id] = outs;
    });
    return { outs };
  }

  async read(id: string, _urn: string, props: Bag = {}) {
    const found = this.content.things[id];
    return found ? { id, props: { ...props, ...found } } : { id: "", props: {} };
  }

  async delete(id: string, _urn: string, props: Bag) {
    this.#throwFault("delete", props.name);
    this.change(({ things }) => {
      delete things[id];
    });
  }
}
