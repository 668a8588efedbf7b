import type * as pulumi from "@pulumi/pulumi";

/** A secret of the platform, wherever it is kept. */
export interface PlatformSecret {
  readonly value: pulumi.Output<string>;
}
