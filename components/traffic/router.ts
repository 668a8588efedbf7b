import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { portPlaceholder } from "../../providers/process/resource.ts";
import { Traffic } from "../../providers/router/resource.ts";
import { ROUTER_ADMIN_PATHS, ROUTER_ENV } from "../../services/router/contract.ts";
import { GeneratedSecret } from "../secrets/generated.ts";
import { type LocalHost, localService } from "../shared/local-service.ts";
import { COLORS, type Color, type Entrance, type Weights } from "./index.ts";

/** Seconds from SIGTERM until open answers are cut; a little more than the router's own 30. */
const DRAIN_SECONDS = 35;

export interface LocalRouterArgs {
  host: LocalHost;
  /** Address that clients use. Default: 127.0.0.1, which this machine alone reaches. */
  address?: string;
  /** Port that clients use; 0 takes any free one and keeps it. */
  port: number;
}

/** The weighted router of a local environment: the stable address before both colors. */
export class LocalRouter extends pulumi.ComponentResource implements Entrance {
  readonly url: pulumi.Output<string>;
  /** Where its weights are read and set; on loopback only. */
  readonly adminUrl: pulumi.Output<string>;
  /** Bearer token for `adminUrl`; secret. */
  readonly adminToken: pulumi.Output<string>;

  constructor(name: string, args: LocalRouterArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:traffic:LocalRouter", name, {}, opts);
    const { host, address = "127.0.0.1" } = args;
    const token = new GeneratedSecret(`${name}-admin-token`, {}, { parent: this });
    const server = localService(
      name,
      {
        host,
        service: "router",
        ports: { [ROUTER_ENV.port]: args.port, [ROUTER_ENV.adminPort]: 0 },
        environment: {
          [ROUTER_ENV.host]: address,
          [ROUTER_ENV.adminToken]: token.value,
          [ROUTER_ENV.stateFile]: path.join(host.stateFolder, "data", name, "traffic.json"),
        },
        healthUrl: `http://127.0.0.1:${portPlaceholder(ROUTER_ENV.adminPort)}${ROUTER_ADMIN_PATHS.health}`,
        drainSeconds: DRAIN_SECONDS,
      },
      { parent: this },
    );
    this.url = pulumi.interpolate`http://${address}:${server.ports.apply((ports) => ports[ROUTER_ENV.port])}`;
    this.adminUrl = pulumi.interpolate`http://127.0.0.1:${server.ports.apply((ports) => ports[ROUTER_ENV.adminPort])}`;
    this.adminToken = token.value;
    this.registerOutputs({ url: this.url, adminUrl: this.adminUrl, adminToken: this.adminToken });
  }
}

export interface RouterTrafficArgs {
  adminUrl: pulumi.Input<string>;
  /** Secret. */
  adminToken: pulumi.Input<string>;
  weights: Weights;
  /** Number of the decision that set them; a later one in force is never undone. Default: none. */
  generation?: number | undefined;
  /** Base URLs of the colors that exist. */
  urls: Partial<Record<Color, pulumi.Input<string>>>;
}

/** The weights of the router. A color that does not exist has weight 0 and no backend. */
export class RouterTraffic extends pulumi.ComponentResource {
  constructor(name: string, args: RouterTrafficArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:traffic:RouterTraffic", name, {}, opts);
    const existing = COLORS.flatMap((color) => {
      const url = args.urls[color];
      return url === undefined ? [] : [[color, { url, weight: args.weights[color] }] as const];
    });
    new Traffic(
      name,
      {
        adminUrl: args.adminUrl,
        token: args.adminToken,
        backends: Object.fromEntries(existing),
        generation: args.generation,
      },
      { parent: this },
    );
    this.registerOutputs({});
  }
}
