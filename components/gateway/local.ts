import { createHash } from "node:crypto";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { portPlaceholder } from "../../providers/process/resource.ts";
import { ENV, PATHS } from "../../services/gateway/contract.ts";
import { type LocalHost, localProcess } from "../shared/local-service.ts";
import { NODE } from "../shared/source.ts";
import type { ClientKey, Gateway, GatewayArgs } from "./index.ts";

/** Seconds from SIGTERM until open answers are cut; a little more than the gateway's own 30. */
const DRAIN_SECONDS = 35;

export interface LocalGatewayArgs extends GatewayArgs {
  host: LocalHost;
  /** Absolute path of the release's gateway, one file that runs with Node.js alone. */
  bundle: string;
}

/** The gateway of a release as a process of this machine. */
export class LocalGateway extends pulumi.ComponentResource implements Gateway {
  readonly url: pulumi.Output<string>;

  constructor(name: string, args: LocalGatewayArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:gateway:LocalGateway", name, {}, opts);
    const server = localProcess(
      name,
      {
        host: args.host,
        command: [NODE, args.bundle],
        ports: { [ENV.port]: 0 },
        environment: {
          ...environmentOf(args),
          [ENV.journalDir]: path.join(args.host.stateFolder, "data", `${name}-journal`),
        },
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
  const models = args.models.map(({ name, task, flag, replicas }) => ({ name, task, flag, replicas }));
  return {
    [ENV.color]: args.color,
    [ENV.release]: args.release.id,
    ...(args.release.label ? { [ENV.releaseLabel]: args.release.label } : {}),
    [ENV.models]: pulumi.jsonStringify(models),
    [ENV.keys]: pulumi.jsonStringify(args.keys.map(hashed)),
    [ENV.flagsFile]: args.flagsFile,
    [ENV.settingsFile]: args.settingsFile,
    [ENV.credentials]: pulumi.jsonStringify(args.credentials),
    [ENV.feedbackKey]: args.feedbackKey,
    [ENV.contentKeys]: pulumi.jsonStringify(args.contentKeys.map(({ id, value }) => ({ id, key: value }))),
    [ENV.redisUrl]: args.redisUrl,
    [ENV.databaseUrl]: args.databaseUrl,
  };
}

function hashed({ value, ...key }: ClientKey) {
  const sha256 = pulumi.output(value).apply((key) => createHash("sha256").update(key).digest("hex"));
  return { ...key, sha256 };
}
