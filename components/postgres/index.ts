import type * as pulumi from "@pulumi/pulumi";

/** What every PostgreSQL of an environment offers, whatever runs it. */
export interface Postgres {
  /** Connection URL, credentials included: secret. */
  readonly url: pulumi.Output<string>;
  /** `host:port`, for people who look at the environment. */
  readonly address: pulumi.Output<string>;
}
