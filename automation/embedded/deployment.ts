import { apply } from "./apply.ts";
import type { Goal } from "./goal.ts";
import { isProviderType, packageOf, providerType } from "./providers.ts";
import type { Run } from "./run.ts";
import type { ResourceState } from "./state.ts";
import { containsSecret, type Properties, UNKNOWN } from "./values.ts";

const STACK_TYPE = "pulumi:pulumi:Stack";
const STACK_REFERENCE_TYPE = "pulumi:pulumi:StackReference";

export interface DeploymentSettings {
  project: string;
  stack: string;
  organization: string;
  /** The outputs of another stack, wrapped secrets included; undefined where it was never brought up. */
  stackOutputs: (name: string) => Promise<Properties | undefined>;
}

/** Turns what a program registers into steps of a run. Knows no transport: the monitor feeds it. */
export class Deployment {
  readonly run: Run;
  readonly #settings: DeploymentSettings;
  readonly #registered = new Set<string>();
  #stackOutputs: { resource: ResourceState; outputs: Properties } | undefined;
  readonly #defaultProviders = new Map<string, Promise<string>>();

  constructor(run: Run, settings: DeploymentSettings) {
    this.run = run;
    this.#settings = settings;
  }

  urn(type: string, name: string, parent: string): string {
    const parentType = parent.split("::")[2] ?? "";
    const qualified = parentType && parentType !== STACK_TYPE ? `${parentType}$${type}` : type;
    return `urn:pulumi:${this.#settings.stack}::${this.#settings.project}::${qualified}::${name}`;
  }

  register(goal: Goal): Promise<ResourceState> {
    return this.run.track(this.#register(goal));
  }

  async #register(goal: Goal): Promise<ResourceState> {
    try {
      this.run.throwIfFailed();
      this.#requireNew(goal.urn);
      const needsProvider = goal.custom && !isProviderType(goal.type) && goal.provider === "";
      const provider = needsProvider ? await this.#defaultProvider(goal) : goal.provider;
      return await apply(this.run, { ...goal, provider });
    } catch (error) {
      this.run.failWith(error, goal);
      throw error;
    }
  }

  #requireNew(urn: string): void {
    if (this.#registered.has(urn)) {
      throw new Error("registered twice.\nremedy: give one of the two another name.");
    }
    this.#registered.add(urn);
  }

  registerOutputs(urn: string, outputs: Properties): void {
    const resource = this.run.resources.settled(urn);
    if (!resource) throw new Error(`outputs for ${urn}, which is not registered`);
    const isStack = resource.type === STACK_TYPE;
    if (isStack) this.#stackOutputs = { resource, outputs };
    // Until the run has ended well, an output that is missing may be only one that was not reached.
    resource.outputs = isStack ? { ...resource.outputs, ...outputs } : outputs;
    this.run.resources.save();
  }

  /** Ends a run that went well: outputs of the stack that the program no longer has are dropped. */
  settleOutputs(): void {
    if (!this.#stackOutputs) return;
    this.#stackOutputs.resource.outputs = this.#stackOutputs.outputs;
    this.run.resources.save();
  }

  /** The outputs of another stack, as the SDK's StackReference expects them. */
  readStackReference(request: { name: string; id: string; parent: string }): Promise<ResourceState> {
    return this.run.track(this.#readStackReference(request));
  }

  async #readStackReference(request: { name: string; id: string; parent: string }): Promise<ResourceState> {
    const about = { name: request.name, type: STACK_REFERENCE_TYPE };
    try {
      this.run.throwIfFailed();
      const urn = this.urn(STACK_REFERENCE_TYPE, request.name, request.parent);
      this.#requireNew(urn);
      const resource: ResourceState = {
        urn,
        custom: true,
        external: true,
        id: request.id,
        type: STACK_REFERENCE_TYPE,
        inputs: { name: request.id },
        parent: request.parent || undefined,
        provider: await this.#defaultProvider({ type: STACK_REFERENCE_TYPE, version: "" }),
      };
      return await this.run.step("read", resource, async () => {
        const outputs = await this.#outputsOfStack(request.id);
        const secretOutputNames = Object.keys(outputs).filter((name) => containsSecret(outputs[name]));
        resource.outputs = { name: request.id, outputs, secretOutputNames: secretOutputNames.sort() };
        this.run.resources.settle(resource, this.run.resources.old(urn));
        return resource;
      });
    } catch (error) {
      this.run.failWith(error, about);
      throw error;
    }
  }

  async #outputsOfStack(id: string): Promise<Properties> {
    const outputs = await this.#settings.stackOutputs(this.#stackNamed(id));
    if (outputs) return outputs;
    throw new Error(`stack "${id}" does not exist.\nremedy: bring that stack up first.`);
  }

  #stackNamed(id: string): string {
    const [name = "", project = this.#settings.project, organization = this.#settings.organization] = id
      .split("/")
      .reverse();
    if (project !== this.#settings.project || organization !== this.#settings.organization) {
      throw new Error(
        `stack "${id}" belongs to another project; the embedded runner knows the stacks of ` +
          `${this.#settings.organization}/${this.#settings.project} only.`,
      );
    }
    return name;
  }

  /** The engine, not the SDK, makes the provider of resources that name none. */
  #defaultProvider(goal: Pick<Goal, "type" | "version">): Promise<string> {
    const packageName = packageOf(goal.type);
    const key = `${packageName}@${goal.version}`;
    const known = this.#defaultProviders.get(key) ?? this.#registerDefaultProvider(packageName, goal.version);
    this.#defaultProviders.set(key, known);
    return known;
  }

  async #registerDefaultProvider(packageName: string, version: string): Promise<string> {
    const type = providerType(packageName);
    const name = version ? `default_${version.replaceAll(/[.-]/g, "_")}` : "default";
    const resource = await this.register({
      urn: this.urn(type, name, ""),
      type,
      name,
      custom: true,
      parent: "",
      inputs: version ? { version } : {},
      dependencies: [],
      propertyDependencies: {},
      provider: "",
      version,
      protect: false,
      deleteBeforeReplace: undefined,
      additionalSecretOutputs: [],
    });
    return `${resource.urn}::${resource.id ?? UNKNOWN}`;
  }
}
