import type * as pulumi from "@pulumi/pulumi";
import { Secret } from "../providers/secret/resource.ts";
import type { EnvironmentSettings } from "./settings.ts";
import { TARGETS } from "./targets/index.ts";

/** One data store or router of an environment, for people who look at it. */
export interface ServiceEntry {
  name: string;
  address: pulumi.Output<string>;
  kind: "real" | "embedded";
}

/** What both colors share: data stores, the router, and the key for trying things out. */
export function runEnvironment({ target, stateFolder, router }: EnvironmentSettings) {
  const { Entrance, Postgres, Redis } = TARGETS[target];
  const host = { stateFolder };
  const postgres = new Postgres("postgres", { host });
  const redis = new Redis("redis", { host });
  const entrance = new Entrance("router", { host, ...router });
  const demoKey = new Secret("demo-key", { prefix: "sk-local-" }, { protect: true });
  const services: ServiceEntry[] = [
    { name: "postgres", address: postgres.address, kind: "embedded" },
    { name: "redis", address: redis.address, kind: redis.kind },
    { name: "router", address: entrance.url, kind: "real" },
  ];
  return {
    url: entrance.url,
    routerAdminUrl: entrance.adminUrl,
    routerAdminToken: entrance.adminToken,
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    demoKey: demoKey.value,
    services,
  };
}
