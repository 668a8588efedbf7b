import { accessSync, constants } from "node:fs";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { type Process, portPlaceholder } from "../../providers/process/resource.ts";
import { KEY_VALUE_ENV } from "../../services/key-value/contract.ts";
import { GeneratedSecret } from "../secrets/generated.ts";
import { type LocalHost, localProcess, localService } from "../shared/local-service.ts";
import type { Redis } from "./index.ts";

const REAL_SERVERS = ["valkey-server", "redis-server"];
const PORT = "REDIS_PORT";
/** Answered also without the password: with the request for it. */
const PING = "PING%0D%0A";

export interface LocalRedisArgs {
  host: LocalHost;
}

/** Redis as a process of this machine: a real server where one is installed, else the embedded stand-in. */
export class LocalRedis extends pulumi.ComponentResource implements Redis {
  readonly url: pulumi.Output<string>;
  readonly address: pulumi.Output<string>;
  readonly kind: "real" | "embedded";

  constructor(name: string, { host }: LocalRedisArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:redis:LocalRedis", name, {}, opts);
    const password = new GeneratedSecret(`${name}-password`, {}, { parent: this });
    const executable = installedServer();
    this.kind = executable ? "real" : "embedded";
    const settings = {
      name,
      host,
      password: password.value,
      dataFolder: path.join(host.stateFolder, "data", name),
    };
    const server = executable
      ? realServer({ ...settings, executable }, { parent: this })
      : embeddedServer(settings, { parent: this });
    const port = server.ports.apply((ports) => ports[executable ? PORT : KEY_VALUE_ENV.port]);
    this.address = pulumi.interpolate`127.0.0.1:${port}`;
    this.url = pulumi.secret(pulumi.interpolate`redis://:${password.value}@${this.address}`);
    this.registerOutputs({ url: this.url, address: this.address, kind: this.kind });
  }
}

interface ServerArgs {
  name: string;
  host: LocalHost;
  password: pulumi.Output<string>;
  dataFolder: string;
}

function installedServer(): string | undefined {
  const folders = (process.env.PATH ?? "").split(path.delimiter).filter(path.isAbsolute);
  const candidates = REAL_SERVERS.flatMap((server) => folders.map((folder) => path.join(folder, server)));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function realServer(
  { name, host, password, dataFolder, executable }: ServerArgs & { executable: string },
  opts: pulumi.CustomResourceOptions,
): Process {
  // The password goes in by standard input: a command line is open to every user of the machine.
  const script = [
    'mkdir -p "$REDIS_DATA" && exec "$REDIS_SERVER" - <<END',
    "bind 127.0.0.1",
    "port $REDIS_PORT",
    'dir "$REDIS_DATA"',
    "appendonly yes",
    "requirepass $REDIS_PASSWORD",
    "END",
  ].join("\n");
  return localProcess(
    name,
    {
      host,
      command: ["/bin/sh", "-c", script],
      ports: { [PORT]: 0 },
      environment: { REDIS_SERVER: executable, REDIS_DATA: dataFolder, REDIS_PASSWORD: password },
      healthUrl: `tcp://127.0.0.1:${portPlaceholder(PORT)}?send=${PING}`,
    },
    opts,
  );
}

function embeddedServer(
  { name, host, password, dataFolder }: ServerArgs,
  opts: pulumi.CustomResourceOptions,
): Process {
  return localService(
    name,
    {
      host,
      service: "key-value",
      ports: { [KEY_VALUE_ENV.port]: 0 },
      environment: {
        [KEY_VALUE_ENV.password]: password,
        [KEY_VALUE_ENV.dataFile]: path.join(dataFolder, "embedded.json"),
      },
      healthUrl: `tcp://127.0.0.1:${portPlaceholder(KEY_VALUE_ENV.port)}?send=${PING}`,
    },
    opts,
  );
}
