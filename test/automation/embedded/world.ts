import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { EmbeddedStack, type Program, type Provider } from "../../../automation/embedded/index.ts";
import type { RunResult } from "../../../automation/index.ts";

type Bag = Record<string, unknown>;

/** Tells simple values only: an object may be a wrapped secret. */
const describeValue = (name: string, value: unknown): string =>
  `${name} is ${typeof value === "object" ? "made" : JSON.stringify(value)}`;

/** A cloud of named things, kept apart from any state: what a provider would change for real. */
export class World implements Provider {
  readonly things = new Map<string, Bag>();
  readonly log: string[] = [];
  /** Throws to make an operation fail. */
  fault: (operation: string, name: string) => void = () => {};
  /** Awaited inside every operation. */
  delay: (operation: string, name: string) => Promise<void> = async () => {};

  async #begin(operation: string, bag: Bag): Promise<string> {
    const name = String(bag.name);
    await this.delay(operation, name);
    this.fault(operation, name);
    this.log.push(`${operation} ${name}`);
    return name;
  }

  async check(_urn: string, _olds: Bag, news: Bag) {
    const failures = [];
    if (news.value === "forbidden") failures.push({ property: "value", reason: "must not be forbidden" });
    if (news.key === "forbidden") failures.push({ property: "key", reason: "must not be forbidden" });
    return { inputs: news, failures };
  }

  async diff(_id: string, _urn: string, olds: Bag, news: Bag) {
    const differs = (key: string) => JSON.stringify(olds[key]) !== JSON.stringify(news[key]);
    return {
      changes: ["value", "key"].some(differs),
      replaces: differs("key") ? ["key"] : [],
      deleteBeforeReplace: news.deleteFirst === true,
    };
  }

  async create(_urn: string, inputs: Bag) {
    const name = await this.#begin("create", inputs);
    const id = `${name}-${JSON.stringify(inputs.key ?? 0)}`;
    const outs = { ...inputs, result: describeValue(name, inputs.value) };
    this.things.set(id, outs);
    return { id, outs };
  }

  async update(id: string, _urn: string, _olds: Bag, news: Bag) {
    const name = await this.#begin("update", news);
    const outs = { ...news, result: describeValue(name, news.value) };
    this.things.set(id, outs);
    return { outs };
  }

  async read(id: string, _urn: string, props: Bag) {
    const found = this.things.get(id);
    return found ? { id, props: { ...props, ...found } } : {};
  }

  async delete(id: string, _urn: string, props: Bag) {
    await this.#begin("delete", props);
    this.things.delete(id);
  }

  async recover(_urn: string, inputs: Bag) {
    const id = [...this.things.keys()].find((key) => key.startsWith(`${inputs.name}-`));
    return id ? { id, outs: this.things.get(id) ?? {} } : undefined;
  }
}

interface ThingArgs {
  value?: pulumi.Input<unknown>;
  key?: pulumi.Input<unknown>;
  deleteFirst?: boolean;
}

export class Thing extends pulumi.CustomResource {
  declare readonly result: pulumi.Output<string>;
  declare readonly value: pulumi.Output<unknown>;

  constructor(name: string, args: ThingArgs, options?: pulumi.CustomResourceOptions) {
    super("test:index:Thing", name, { result: undefined, name, ...args }, options);
  }
}

export class Group extends pulumi.ComponentResource {
  constructor(name: string, options?: pulumi.ComponentResourceOptions) {
    super("test:index:Group", name, {}, options);
    this.registerOutputs({});
  }
}

/** A folder for states and a world that the stacks in it change. */
export class Bench {
  readonly folder = mkdtempSync(path.join(tmpdir(), "embedded-"));
  readonly world = new World();

  stack(
    program: () => unknown,
    overrides: Partial<ConstructorParameters<typeof EmbeddedStack>[0]> = {},
  ): EmbeddedStack {
    return new EmbeddedStack({
      project: "demo",
      name: "one",
      program: (async () => program()) as Program,
      providers: { test: this.world },
      stateFolder: this.folder,
      passphrase: "correct horse",
      ...overrides,
    });
  }

  file(stack = "one"): string {
    return path.join(this.folder, `${stack}.json`);
  }

  deployment(stack = "one") {
    return JSON.parse(readFileSync(this.file(stack), "utf8")).deployment;
  }

  hasState(stack = "one"): boolean {
    return existsSync(this.file(stack));
  }

  /** Takes the world's log so far. */
  log(): string[] {
    return this.world.log.splice(0);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The steps that change something, by resource name, without the stack and its providers. */
export function changes(result: Pick<RunResult, "steps">): string[] {
  return result.steps
    .filter(
      ({ operation, type }) =>
        !["same", "read", "refresh"].includes(operation) && !type.startsWith("pulumi:"),
    )
    .map(({ operation, name }) => `${operation} ${name}`);
}
