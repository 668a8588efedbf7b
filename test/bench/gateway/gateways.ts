import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { POSTGRES_KINDS, REDIS_KINDS, startPostgres, startRedis } from "../../services/stores.ts";
import type { Processes, Started } from "./processes.ts";
import {
  fullEnvironment,
  fullSettings,
  gatewayEnvironment,
  type Models,
  minimalSettings,
  type Stores,
  urlOf,
} from "./settings.ts";

export interface Ground {
  readonly processes: Processes;
  readonly folder: string;
}

/** How a gateway is set up. */
export interface GatewayOptions {
  readonly profile: "full" | "minimal";
  /** @default services/gateway/main.ts */
  readonly program?: string;
  /** Beside the profile's. @default none */
  readonly env?: Readonly<Record<string, string>>;
}

export interface StartedGateway extends Started {
  /** Of the full profile. */
  readonly stores: Stores | undefined;
}

/** Starts a gateway in a process of its own; the stores of the full profile are real ones where they are installed. */
export async function startGateway(
  ground: Ground,
  models: Models,
  options: GatewayOptions,
): Promise<StartedGateway> {
  const { profile, program = "services/gateway/main.ts" } = options;
  const stores = profile === "full" ? await startStores(ground) : undefined;
  const extra = stores ? fullEnvironment(stores) : {};
  const settingsFile = join(ground.folder, `${profile}.json`);
  await writeFile(settingsFile, JSON.stringify(stores ? fullSettings(stores) : minimalSettings()));
  const env = {
    ...gatewayEnvironment(models),
    ...extra,
    ...options.env,
    GATEWAY_SETTINGS_FILE: settingsFile,
  };
  return { ...(await ground.processes.node([program], env)), stores };
}

async function startStores({ processes, folder }: Ground): Promise<Stores> {
  const redis = await startRedis(REDIS_KINDS[0] ?? "embedded");
  processes.add(redis.stop);
  const postgres = await startPostgres(POSTGRES_KINDS[0] ?? "embedded");
  processes.add(postgres.stop);
  const journalFolder = join(folder, "journal");
  await mkdir(journalFolder, { recursive: true });
  const collectorUrl = await startCollector(processes);
  return { redisUrl: redis.url, databaseUrl: postgres.url, collectorUrl, journalFolder };
}

/** Takes traces and throws them away. */
async function startCollector(processes: Processes): Promise<string> {
  const server = createServer((request, response) => {
    request
      .resume()
      .on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  processes.add(async () => {
    server.close();
    server.closeAllConnections();
  });
  return urlOf((server.address() as AddressInfo).port);
}
