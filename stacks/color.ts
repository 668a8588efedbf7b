import * as pulumi from "@pulumi/pulumi";
import type { Release } from "../components/gateway/index.ts";
import type { Model } from "../components/models/index.ts";
import { digestOf, sourceDigest } from "../components/shared/source.ts";
import { type ServiceEntry, serviceEntry, stackNamed } from "./reference.ts";
import { type ColorSettings, type ModelSettings, slugOf, stateFolder } from "./settings.ts";
import { TARGETS } from "./targets/index.ts";

/** One color: the gateway and the model services of one release. */
export function runColor(settings: ColorSettings) {
  const environment = stackNamed(settings.environment);
  const host = { stateFolder: stateFolder() };
  const prefix = pulumi.getStack();
  const apiKey = new TARGETS[settings.target].Secret(`${prefix}-model-key`);
  const context = { target: settings.target, prefix, host, apiKey: apiKey.value };
  const models = settings.models.map((model) => createModel(model, context));
  const release = releaseOf(settings);
  const gatewayName = `${prefix}-gateway`;
  const gateway = new TARGETS[settings.target].Gateway(gatewayName, {
    host,
    color: settings.color,
    release,
    models,
    keys: [{ id: "demo", tenant: "demo", value: environment.requireOutput("demoKey") }],
    redisUrl: environment.requireOutput("redisUrl"),
    databaseUrl: environment.requireOutput("databaseUrl"),
  });
  return {
    url: gateway.url,
    color: settings.color,
    release: release.id,
    label: release.label ?? "",
    models: models.map(({ name, task, kind }) => ({ name, task, kind })),
    services: pulumi
      .all([
        serviceEntry(gatewayName, gateway.url, "real").apply((entry) => [entry]),
        ...models.map(servicesOf),
      ])
      .apply((entries) => entries.flat()),
  };
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
  apiKey: pulumi.Output<string>;
}

function createModel(model: ModelSettings, { target, prefix, host, apiKey }: ModelContext): Model {
  const { ExternalModel, SimulatedModel } = TARGETS[target];
  const { name, ...rest } = model;
  const resourceName = `${prefix}-${slugOf(name)}`;
  if ("urls" in rest) {
    const { apiKeyVariable, ...args } = rest;
    const key = apiKeyVariable === undefined ? undefined : pulumi.secret(process.env[apiKeyVariable] ?? "");
    return new ExternalModel(resourceName, { ...args, model: name, apiKey: key });
  }
  return new SimulatedModel(resourceName, { ...rest, model: name, host, apiKey });
}

/** What decides how the color answers: the code of its services and its settings. */
function releaseOf({ models, releaseLabel }: ColorSettings): Release {
  const sources = ["gateway", "model-simulator"].map(sourceDigest);
  return { id: digestOf(...sources, JSON.stringify(models)), label: releaseLabel };
}
