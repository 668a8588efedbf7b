import * as pulumi from "@pulumi/pulumi";
import type { Backend, Color } from "../../services/router/contract.ts";

export interface BackendArgs {
  /** Origin of the color's gateway, such as `http://127.0.0.1:8080`. */
  url: pulumi.Input<string>;
  /** Share of the traffic in percent, a whole number from 0 to 100; the weights add up to 100, or to 0. */
  weight: pulumi.Input<number>;
}

export interface TrafficArgs {
  /** Origin of the router's admin API. */
  adminUrl: pulumi.Input<string>;
  /** The router's admin token; kept as a secret. */
  token: pulumi.Input<string>;
  /** The colors that exist; one that does not is left out. */
  backends: pulumi.Input<Partial<Record<Color, pulumi.Input<BackendArgs>>>>;
  /**
   * Number of the decision that these weights carry out: the router refuses it once a later one is in force.
   * Default: none; the change then follows whatever the state knows.
   */
  generation?: pulumi.Input<number> | undefined;
}

/**
 * The weights in the local router. If the router's generation is ahead of the state, someone moved the traffic since
 * (a rollback does so directly): an update fails and asks for a refresh. Deleting it leaves nothing served.
 */
export class Traffic extends pulumi.CustomResource {
  declare readonly adminUrl: pulumi.Output<string>;
  declare readonly token: pulumi.Output<string>;
  /** What the router has. */
  declare readonly backends: pulumi.Output<Partial<Record<Color, Backend>>>;
  /** Grows with every change of the weights. */
  declare readonly generation: pulumi.Output<number>;

  constructor(name: string, args: TrafficArgs, opts?: pulumi.CustomResourceOptions) {
    super("platform:router:Traffic", name, { generation: undefined, ...args }, opts);
  }
}
