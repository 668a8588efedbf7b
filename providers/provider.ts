import type {
  CheckResult,
  CreateResult,
  DiffResult,
  Provider,
  ReadResult,
  UpdateResult,
} from "@pulumi/pulumi/provider/index.js";
import manifest from "./package.json" with { type: "json" };
import { processType } from "./process/provider.ts";
import type { Created, ResourceType, Subject } from "./resource-type.ts";
import { trafficType } from "./router/provider.ts";
import { secretType } from "./secret/provider.ts";
import type { Properties } from "./wire.ts";

const TYPES: Readonly<Record<string, ResourceType>> = {
  "platform:process:Process": processType,
  "platform:router:Traffic": trafficType,
  "platform:secret:Secret": secretType,
};

/** The package `platform`: sends each operation to the type that the URN names. */
export class PlatformProvider implements Provider {
  readonly version = manifest.version;
  #interrupt = new AbortController();

  async check(urn: string, _olds: Properties, news: Properties): Promise<CheckResult> {
    return typeOf(urn).check(this.#subject(urn), news);
  }

  async diff(_id: string, urn: string, olds: Properties, news: Properties): Promise<DiffResult> {
    return typeOf(urn).diff(this.#subject(urn), olds, news);
  }

  async create(urn: string, inputs: Properties): Promise<CreateResult> {
    return await typeOf(urn).create(this.#subject(urn), inputs);
  }

  /** Answers with an empty id when the resource is gone. */
  async read(id: string, urn: string, props: Properties = {}): Promise<ReadResult> {
    if (Object.keys(props).length === 0)
      throw new Error(`${urn}: this type cannot be imported, only created`);
    const found = await typeOf(urn).read(this.#subject(urn), props);
    return found === undefined ? { id: "", props: {} } : { id, props: found };
  }

  async update(_id: string, urn: string, olds: Properties, news: Properties): Promise<UpdateResult> {
    return { outs: await typeOf(urn).update(this.#subject(urn), olds, news) };
  }

  async delete(_id: string, urn: string, props: Properties): Promise<void> {
    await typeOf(urn).delete(this.#subject(urn), props);
  }

  /** What a create that was cut off left behind for this URN, as a state to go on from; undefined if nothing. */
  async recover(urn: string, inputs: Properties): Promise<Created | undefined> {
    return await typeOf(urn).recover(this.#subject(urn), inputs);
  }

  /** Ends the waits of operations under way: each undoes what it began and fails. Later operations run again. */
  async cancel(): Promise<void> {
    this.#interrupt.abort(new Error("interrupted"));
    this.#interrupt = new AbortController();
  }

  #subject(urn: string): Subject {
    return { urn, name: urn.split("::").slice(3).join("::"), signal: this.#interrupt.signal };
  }
}

export const platformProvider = new PlatformProvider();

function typeOf(urn: string): ResourceType {
  const token = urn.split("::")[2]?.split("$").at(-1) ?? "";
  const type = Object.hasOwn(TYPES, token) ? TYPES[token] : undefined;
  if (type !== undefined) return type;
  throw new Error(
    `package platform has no resource type "${token}" (${urn}); it has ${Object.keys(TYPES).join(", ")}`,
  );
}
