import * as pulumi from "@pulumi/pulumi";

export interface SecretArgs {
  /** Random bytes in the secret, 16 to 1024. Default 32. A change makes a new secret. */
  bytes?: pulumi.Input<number>;
  /** Text before the random part, such as `sk-local-`; printable ASCII without spaces. A change makes a new secret. */
  prefix?: pulumi.Input<string>;
}

/** A random text in the base64url alphabet. It stays the same until its arguments change. */
export class Secret extends pulumi.CustomResource {
  /** Prefix and random part; always secret. */
  declare readonly value: pulumi.Output<string>;

  constructor(name: string, args: SecretArgs = {}, opts?: pulumi.CustomResourceOptions) {
    const options = pulumi.mergeOptions({ additionalSecretOutputs: ["value"] }, opts);
    super("platform:secret:Secret", name, { ...args, value: undefined }, options);
  }
}
