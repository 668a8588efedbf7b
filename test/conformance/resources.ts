import * as pulumi from "@pulumi/pulumi";

interface ThingArgs {
  /** A change updates the thing in place. */
  value?: pulumi.Input<unknown>;
  /** A change replaces the thing. */
  key?: pulumi.Input<unknown>;
  /** The provider asks for a replacement to delete first. Default: false. */
  deleteFirst?: boolean;
}

export class Thing extends pulumi.CustomResource {
  declare readonly result: pulumi.Output<string>;
  declare readonly value: pulumi.Output<unknown>;

  constructor(name: string, args: ThingArgs = {}, options?: pulumi.CustomResourceOptions) {
    super("conformance:index:Thing", name, { result: undefined, name, ...args }, options);
  }
}

export class Group extends pulumi.ComponentResource {
  readonly inner: Thing;

  constructor(name: string, args: ThingArgs = {}, options?: pulumi.ComponentResourceOptions) {
    super("conformance:index:Group", name, {}, options);
    this.inner = new Thing(`${name}-inner`, args, { parent: this });
    const last = new Thing(`${name}-last`, { value: this.inner.result }, { parent: this });
    this.registerOutputs({ result: last.result });
  }
}
