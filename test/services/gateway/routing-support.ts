import { afterEach, beforeEach } from "vitest";
import { readConfig } from "../../../services/gateway/config.ts";
import { METRICS } from "../../../services/gateway/contract.ts";
import { type RunningGateway, startGateway } from "../../../services/gateway/server.ts";
import {
  chatBody,
  EMBEDDER,
  environment,
  type FakeReplica,
  KEY,
  metric,
  post,
  settingsFile,
  sha256,
  startReplica,
  until,
} from "./support.ts";

const NAMES = ["small", "large", "coder", "outside"] as const;
type Name = (typeof NAMES)[number];

export let backends: Record<Name, FakeReplica>;
let gateway: RunningGateway | undefined;

beforeEach(async () => {
  const started = await Promise.all(NAMES.map(async (name) => [name, await startReplica()] as const));
  backends = Object.fromEntries(started) as Record<Name, FakeReplica>;
});

afterEach(async () => {
  await gateway?.close();
  await Promise.all(Object.values(backends).map((backend) => backend.close()));
});

export const UNBOUNDED = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };

export interface Start {
  readonly routing?: object;
  readonly models?: Readonly<Record<string, object>>;
  readonly tenant?: object;
  readonly regions?: Partial<Record<Name, string>>;
  readonly key?: object;
  readonly more?: object;
}

/** Three models of our own, and one of a provider that is called "outside" here and "theirs" there. */
export function env({
  routing = {},
  models = {},
  tenant = {},
  regions = {},
  key = {},
  more = {},
}: Start = {}) {
  const own = NAMES.slice(0, 3).map((name) => ({
    name,
    task: "chat",
    replicas: [{ url: backends[name].url, region: regions[name] }],
  }));
  return {
    ...environment({ replicas: [] }),
    GATEWAY_DRAIN_SECONDS: "0",
    GATEWAY_MODELS: JSON.stringify([
      ...own,
      { name: EMBEDDER, task: "embeddings", replicas: [{ url: backends.small.url }] },
    ]),
    GATEWAY_KEYS: JSON.stringify([{ id: "key-1", sha256: sha256(KEY), tenant: "acme", ...key }]),
    GATEWAY_CREDENTIALS: JSON.stringify({ paid: "sk-provider" }),
    GATEWAY_SETTINGS_FILE: settingsFile({
      tenants: { acme: { limits: UNBOUNDED, ...tenant } },
      providers: {
        theirs: {
          kind: "openai",
          baseUrl: `${backends.outside.url}/v1`,
          credential: "paid",
          region: regions.outside,
        },
      },
      models: {
        large: { maxConcurrency: 10 },
        ...models,
        outside: { provider: "theirs", upstream: "theirs-1", ...models.outside },
      },
      resilience: { retry: { tries: 1 }, breaker: { failures: 1_000 } },
      routing,
      ...more,
    }),
  };
}

/** Starts a gateway that ends with its test. */
export async function launch(variables: Readonly<Record<string, string>>): Promise<RunningGateway> {
  gateway = await startGateway(readConfig(variables));
  return gateway;
}

export async function start(options: Start = {}): Promise<string> {
  const { url } = await launch(env(options));
  await until(async () => (await metric(url, METRICS.replicasHealthy.name, { model: "coder" })) === 1);
  return url;
}

export const ask = (
  url: string,
  model: string,
  { content = "Hi", ...rest }: { content?: string; headers?: Record<string, string>; stream?: boolean } = {},
) =>
  post(url, {
    body: chatBody({ model, messages: [{ role: "user", content }], stream: rest.stream === true }),
    ...(rest.headers ? { headers: rest.headers } : {}),
  });

export const asked = () => Object.fromEntries(NAMES.map((name) => [name, backends[name].received.length]));
export const modelOf = (backend: Name) =>
  JSON.parse(backends[backend].received.at(-1)?.body ?? "{}").model as string;
