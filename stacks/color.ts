import * as pulumi from "@pulumi/pulumi";
import type { Model } from "../components/models/index.ts";
import { type ServiceEntry, serviceEntry, stackNamed } from "./reference.ts";
import { type KeptRelease, releaseOf } from "./release.ts";
import { type ModelSettings, slugOf } from "./release-settings.ts";
import { type ColorSettings, stateFolder } from "./settings.ts";
import { TARGETS } from "./targets/index.ts";

/** One color: the gateway and the model services of one release. */
export async function runColor(settings: ColorSettings) {
  const environment = stackNamed(settings.environment);
  const host = { stateFolder: stateFolder() };
  const prefix = pulumi.getStack();
  const release = await releaseOf(settings, environment);
  const apiKey = new TARGETS[settings.target].Secret(`${prefix}-model-key`);
  const context = { target: settings.target, prefix, host, release, apiKey: apiKey.value };
  const models = release.settings.models.map((model) => createModel(model, context));
  const gatewayName = `${prefix}-gateway`;
  const gateway = new TARGETS[settings.target].Gateway(gatewayName, {
    host,
    color: settings.color,
    release,
    bundle: release.bundle("gateway"),
    models,
    flagsFile: release.flagsFile,
    settingsFile: release.settingsFile,
    credentials: credentialsOf(release),
    feedbackKey: environment.requireOutput("feedbackKey"),
    contentKeys: [{ id: "content-1", value: environment.requireOutput("contentKey") }],
    keys: [
      { id: "demo", tenant: "demo", value: environment.requireOutput("demoKey") },
      { id: "checks", tenant: "platform", value: environment.requireOutput("probeKey"), probe: true },
      {
        id: "admin",
        tenant: "platform",
        value: environment.requireOutput("adminKey"),
        operator: true,
        permissions: ["*:*"],
      },
    ],
    redisUrl: environment.requireOutput("redisUrl"),
    databaseUrl: environment.requireOutput("databaseUrl"),
  });
  return {
    url: gateway.url,
    color: settings.color,
    release: release.id,
    label: release.label ?? "",
    models: models.map(({ name, task, flag, kind }) => ({ name, task, kind, ...(flag ? { flag } : {}) })),
    services: pulumi
      .all([
        serviceEntry(gatewayName, gateway.url, "real").apply((entry) => [entry]),
        ...models.map(servicesOf),
      ])
      .apply((entries) => entries.flat()),
  };
}

/** What providers ask for, from the environment of this command. */
function credentialsOf({ settings }: KeptRelease): pulumi.Output<Record<string, string>> {
  const entries = Object.entries(settings.credentials);
  return pulumi.secret(
    Object.fromEntries(entries.map(([name, variable]) => [name, process.env[variable] ?? ""])),
  );
}

/** The processes that serve a model, for people who look at the color. */
function servicesOf({ resourceName, kind, replicas }: Model): pulumi.Output<ServiceEntry[]> {
  // Addresses are no secrets; only the keys beside them are.
  return pulumi.unsecret(
    replicas.apply((list) =>
      list.map(({ url }, index) => ({ name: `${resourceName}-${index}`, address: url, kind })),
    ),
  );
}

interface ModelContext {
  target: keyof typeof TARGETS;
  prefix: string;
  host: { stateFolder: string };
  release: KeptRelease;
  apiKey: pulumi.Output<string>;
}

function createModel(model: ModelSettings, { target, prefix, host, release, apiKey }: ModelContext): Model {
  const { ExternalModel, SimulatedModel } = TARGETS[target];
  const { name, ...rest } = model;
  const resourceName = `${prefix}-${slugOf(name)}`;
  if ("urls" in rest) {
    const { apiKeyVariable, revision: _told, ...args } = rest;
    const key = apiKeyVariable === undefined ? undefined : pulumi.secret(process.env[apiKeyVariable] ?? "");
    return new ExternalModel(resourceName, { ...args, model: name, apiKey: key });
  }
  const bundle = release.bundle("model-simulator");
  return new SimulatedModel(resourceName, { ...rest, model: name, host, bundle, apiKey });
}
