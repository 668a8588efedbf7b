import { isDeepStrictEqual } from "node:util";
import type { Provider as SdkProvider } from "@pulumi/pulumi/provider/index.js";
import type { ResourceState } from "./state.ts";
import { type Properties, unwrapped } from "./values.ts";

/** A provider that runs in this process: the interface of Pulumi's own plugins, and one method more. */
export interface Provider extends SdkProvider {
  /**
   * Finds what an interrupted `create` left behind, so that it is not leaked.
   * A provider whose `create` leaves nothing outside the state answers undefined.
   */
  recover?(urn: string, inputs: Properties): Promise<{ id: string; outs: Properties } | undefined>;
}

export interface Difference {
  changed: boolean;
  replace: boolean;
  deleteBeforeReplace: boolean;
}

/** An error of a provider that still created something: `id` and `properties` say what. */
export interface PartialFailure extends Error {
  id?: string;
  properties?: Properties;
  reasons?: string[];
}

const PROVIDER_TYPE = "pulumi:providers:";
/** Carries what is Pulumi's own, such as references to stacks. */
const BUILT_IN_PROVIDER = `${PROVIDER_TYPE}pulumi`;
export const isProviderType = (type: string): boolean => type.startsWith(PROVIDER_TYPE);
export const providerType = (packageName: string): string => PROVIDER_TYPE + packageName;
export const packageOf = (type: string): string =>
  isProviderType(type) ? type.slice(PROVIDER_TYPE.length) : (type.split(":")[0] ?? "");

/** Calls one package's provider, and fills in what the SDK's interface leaves optional. */
export class ProviderClient {
  readonly #provider: Provider;

  constructor(provider: Provider) {
    this.#provider = provider;
  }

  /** @returns the inputs to use. @throws with every refused property at once. */
  async check(urn: string, olds: Properties, news: Properties): Promise<Properties> {
    const result = await this.#provider.check?.(urn, olds, news);
    const failures = result?.failures ?? [];
    if (failures.length > 0) {
      throw new Error(failures.map(({ property, reason }) => `${property}: ${reason}`).join("; "));
    }
    return (result?.inputs as Properties | undefined) ?? news;
  }

  async diff(old: ResourceState, news: Properties): Promise<Difference> {
    const result = await this.#provider.diff?.(old.id ?? "", old.urn, old.outputs ?? {}, news);
    const replace = (result?.replaces?.length ?? 0) > 0;
    const differs = () => !isDeepStrictEqual(unwrapped(old.inputs ?? {}), unwrapped(news));
    return {
      changed: replace || (result?.changes ?? differs()),
      replace,
      deleteBeforeReplace: result?.deleteBeforeReplace ?? false,
    };
  }

  async create(urn: string, inputs: Properties): Promise<{ id: string; outputs: Properties }> {
    if (!this.#provider.create) throw new Error("the provider cannot create resources");
    const { id, outs } = await this.#provider.create(urn, inputs);
    return { id, outputs: (outs as Properties | undefined) ?? {} };
  }

  async update(old: ResourceState, inputs: Properties): Promise<Properties> {
    const result = await this.#provider.update?.(old.id ?? "", old.urn, old.outputs ?? {}, inputs);
    return (result?.outs as Properties | undefined) ?? inputs;
  }

  async delete(resource: ResourceState): Promise<void> {
    await this.#provider.delete?.(resource.id ?? "", resource.urn, resource.outputs ?? {});
  }

  /** @returns undefined where the resource no longer exists. */
  async read(resource: ResourceState): Promise<{ outputs: Properties; inputs: Properties } | undefined> {
    const known = { outputs: resource.outputs ?? {}, inputs: resource.inputs ?? {} };
    if (!this.#provider.read) return known;
    const result = await this.#provider.read(resource.id ?? "", resource.urn, resource.outputs ?? {});
    if (!result.id) return undefined;
    return {
      outputs: (result.props as Properties | undefined) ?? known.outputs,
      inputs: (result.inputs as Properties | undefined) ?? known.inputs,
    };
  }

  /** @returns undefined where nothing was left; "unknown" where the provider cannot tell. */
  async recover(
    resource: ResourceState,
  ): Promise<{ id: string; outputs: Properties } | undefined | "unknown"> {
    if (!this.#provider.recover) return "unknown";
    const found = await this.#provider.recover(resource.urn, resource.inputs ?? {});
    return found && { id: found.id, outputs: found.outs };
  }

  async cancel(): Promise<void> {
    await this.#provider.cancel?.();
  }
}

/** What a provider resource itself does: it exists in the state alone, its inputs are its configuration. */
class ConfigurationProvider implements Provider {
  async create(_urn: string, inputs: Properties) {
    return { id: crypto.randomUUID(), outs: inputs };
  }
}

export class ProviderTable {
  readonly #clients = new Map<string, ProviderClient>();
  readonly #configuration = new ProviderClient(new ConfigurationProvider());

  constructor(providers: Record<string, Provider>) {
    for (const [name, provider] of Object.entries(providers)) {
      this.#clients.set(name, new ProviderClient(provider));
    }
  }

  /** @throws for a package that this runner was not given. */
  clientFor(type: string): ProviderClient {
    if (type === BUILT_IN_PROVIDER) return this.#configuration;
    const client = this.#clients.get(packageOf(type));
    if (!client) {
      const known = [...this.#clients.keys()].join(", ") || "none";
      throw new Error(
        `package "${packageOf(type)}" has no provider in the embedded runner (it has: ${known}).\n` +
          "remedy: run this stack with the Pulumi CLI.",
      );
    }
    return isProviderType(type) ? this.#configuration : client;
  }

  async cancel(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.cancel()));
  }
}
