import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { portPlaceholder } from "../../providers/process/resource.ts";
import { ENV, PATHS } from "../../services/gateway/contract.ts";
import { type LocalHost, localService } from "../shared/local-service.ts";
import type { ClientKey, Gateway, GatewayArgs } from "./index.ts";

/** Seconds from SIGTERM until open answers are cut; a little more than the gateway's own 30. */
const DRAIN_SECONDS = 35;

export interface LocalGatewayArgs extends GatewayArgs {
  host: LocalHost;
}

/** The gateway as a process of this machine, run from its source. */
export class LocalGateway extends pulumi.ComponentResource implements Gateway {
  readonly url: pulumi.Output<string>;

  constructor(name: string, args: LocalGatewayArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:gateway:LocalGateway", name, {}, opts);
    const server = localService(
      name,
      {
        host: args.host,
        service: "gateway",
        ports: { [ENV.port]: 0 },
        environment: environmentOf(args),
        healthUrl: `http://127.0.0.1:${portPlaceholder(ENV.port)}${PATHS.health}`,
        drainSeconds: DRAIN_SECONDS,
      },
      { parent: this },
    );
    this.url = pulumi.interpolate`http://127.0.0.1:${server.ports.apply((ports) => ports[ENV.port])}`;
    this.registerOutputs({ url: this.url });
  }
}

function environmentOf(args: GatewayArgs): Record<string, pulumi.Input<string>> {
  const models = args.models.map(({ name, task, replicas }) => ({ name, task, replicas }));
  return {
    [ENV.color]: args.color,
    [ENV.release]: args.release.id,
    ...(args.release.label ? { [ENV.releaseLabel]: args.release.label } : {}),
    [ENV.models]: pulumi.jsonStringify(models),
    [ENV.keys]: pulumi.jsonStringify(args.keys.map(hashed)),
    [ENV.redisUrl]: args.redisUrl,
    [ENV.databaseUrl]: args.databaseUrl,
  };
}

function hashed({ id, tenant, value }: ClientKey) {
  const sha256 = pulumi.output(value).apply((key) => createHash("sha256").update(key).digest("hex"));
  return { id, tenant, sha256 };
}
