import { serviceEntry } from "./reference.ts";
import { releaseIn } from "./release-settings.ts";
import { type EnvironmentSettings, stateFolder } from "./settings.ts";
import { TARGETS } from "./targets/index.ts";

/** What both colors share: data stores, the router, and the keys for trying things out and for its operators. */
export function runEnvironment({ target, router, ...settings }: EnvironmentSettings) {
  const { Entrance, Postgres, Redis, Secret } = TARGETS[target];
  const host = { stateFolder: stateFolder() };
  const postgres = new Postgres("postgres", { host });
  const redis = new Redis("redis", { host });
  const entrance = new Entrance("router", { host, ...router });
  const demoKey = new Secret("demo-key", { prefix: "sk-local-" });
  const probeKey = new Secret("probe-key", { prefix: "sk-probe-" });
  const adminKey = new Secret("admin-key", { prefix: "sk-admin-" });
  const feedbackKey = new Secret("feedback-key");
  const contentKey = new Secret("content-key");
  const services = [
    serviceEntry("postgres", postgres.address, "embedded"),
    serviceEntry("redis", redis.address, redis.kind),
    serviceEntry("router", entrance.url, "real"),
  ];
  return {
    url: entrance.url,
    routerAdminUrl: entrance.adminUrl,
    routerAdminToken: entrance.adminToken,
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    demoKey: demoKey.value,
    probeKey: probeKey.value,
    adminKey: adminKey.value,
    feedbackKey: feedbackKey.value,
    contentKey: contentKey.value,
    /** What a color serves where no release was ever made. */
    release: releaseIn(settings),
    services,
  };
}
