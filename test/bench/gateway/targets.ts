import { type Ground, startGateway } from "./gateways.ts";
import { startNginxModel, startNginxProxy } from "./nginx.ts";
import type { Missing, Peer } from "./peers.ts";
import type { Started } from "./processes.ts";
import { type Models, urlOf } from "./settings.ts";

/** Names of what is measured, in the order of the report. */
export const NAMES = {
  full: "gateway, full profile",
  minimal: "gateway, no stores",
  nginx: "nginx",
  bare: "bare Express + undici",
  portkey: "Portkey",
  litellm: "LiteLLM",
  model: "the model itself",
} as const;

export type TargetName = (typeof NAMES)[keyof typeof NAMES];

/** A proxy in front of the models, each of them its own process. */
export interface Target {
  readonly name: TargetName;
  readonly instant: Started;
  /** The same program in front of the slow model; undefined for those that are measured by their throughput alone. */
  readonly slow?: Started;
  /** In front of the model that streams at length. */
  readonly streaming?: Started;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Field {
  readonly targets: readonly Target[];
  /** What could not be started, and why. */
  readonly missing: readonly Missing[];
}

// 50 ms: the issue's. A short answer after that.
const SLOW = ["50", "20", "10"];
/** Chunks of one stream of the streaming model. */
export const CHUNKS = 500;
// Begun at once, and long enough that what a stream costs beside its chunks does not count.
const STREAMING = ["0", String(CHUNKS), "4"];

const QUICK = ["0", "3", "1"];

/** Models of the benchmark: one answers at once, one after 50 ms, one streams. */
export async function startModels(ground: Ground): Promise<Models> {
  const { processes } = ground;
  const instant = await startNginxModel(ground);
  const slow = await processes.node(["test/bench/gateway/model.ts", ...SLOW]);
  const streaming = await processes.node(["test/bench/gateway/model.ts", ...STREAMING]);
  return { instant, slow, streaming };
}

/** One model that answers at once, in few chunks where it streams; it needs nothing but Node.js. */
export async function startQuickModels({ processes }: Ground): Promise<Models> {
  return everywhere(await processes.node(["test/bench/gateway/model.ts", ...QUICK]));
}

/** Starts models, gateways and peers. */
export async function startField(ground: Ground, peers: readonly Peer[]): Promise<Field> {
  const { processes } = ground;
  const models = await startModels(ground);
  const full = await startGateway(ground, models, { profile: "full" });
  const minimal = await startGateway(ground, models, { profile: "minimal" });
  const bare = await processes.node(["test/bench/gateway/bare-proxy.ts", urlOf(models.instant.port)]);
  const others = await Promise.all(peers.map((peer) => peer.start(ground, models)));
  return {
    targets: [
      { name: NAMES.full, ...everywhere(full) },
      { name: NAMES.minimal, ...everywhere(minimal) },
      { name: NAMES.nginx, ...(await startNginxProxies(ground, models)) },
      { name: NAMES.bare, instant: bare },
      ...others.filter((other) => "instant" in other),
      { name: NAMES.model, ...models },
    ],
    missing: others.filter((other) => "missing" in other),
  };
}

function everywhere(one: Started): Models {
  return { instant: one, slow: one, streaming: one };
}

async function startNginxProxies(ground: Ground, { instant, slow, streaming }: Models): Promise<Models> {
  return {
    instant: await startNginxProxy(ground, instant),
    slow: await startNginxProxy(ground, slow),
    streaming: await startNginxProxy(ground, streaming),
  };
}
