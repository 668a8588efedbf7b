import * as pulumi from "@pulumi/pulumi";
import { Secret, type SecretArgs } from "../../providers/secret/resource.ts";
import type { PlatformSecret } from "./index.ts";

/**
 * A random secret that is kept, sealed, in the stack's state.
 * It is protected: the data and the clients that rely on it outlive a stop of the processes.
 */
export class GeneratedSecret extends pulumi.ComponentResource implements PlatformSecret {
  readonly value: pulumi.Output<string>;

  constructor(name: string, args: SecretArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:secrets:GeneratedSecret", name, {}, opts);
    this.value = new Secret(name, args, { parent: this, protect: true }).value;
    this.registerOutputs({ value: this.value });
  }
}
