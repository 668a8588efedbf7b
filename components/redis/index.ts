import type * as pulumi from "@pulumi/pulumi";

/** What every Redis of an environment offers, whatever runs it. */
export interface Redis {
  /** Connection URL, password included: secret. */
  readonly url: pulumi.Output<string>;
  /** `host:port`, for people who look at the environment. */
  readonly address: pulumi.Output<string>;
  /** Whether a real Redis or Valkey serves, or the embedded stand-in. */
  readonly kind: "real" | "embedded";
}
