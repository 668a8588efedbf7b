import type { ModelConfig } from "../config.ts";
import { backendOf } from "../providers/backend-of.ts";
import type { Credentials } from "../providers/settings.ts";
import { type Target, targetsOf } from "../routing/targets.ts";
import type { Settings } from "../settings.ts";
import { Model } from "./models.ts";
import { Replica } from "./replica.ts";

/** What a table of models is made from. */
export interface ModelTableOptions {
  readonly models: readonly ModelConfig[];
  readonly credentials: Credentials;
  /** Milliseconds between two health probes of each replica. */
  readonly probeIntervalMs: number;
}

interface Provided {
  readonly model: Model;
  /** What it was made from, to see whether a reload changed it. */
  readonly origin: string;
}

/** All models and other names that clients may use, and the probes that watch the replicas. */
export class ModelTable {
  /** Models with backends: own ones, then those of providers; chat models first. */
  list: readonly Model[] = [];
  /** All names that clients may use: those of the models, then those that routing adds. */
  targets: readonly Target[] = [];
  readonly #own: readonly Model[];
  readonly #credentials: Credentials;
  readonly #timer: NodeJS.Timeout;
  #provided: ReadonlyMap<string, Provided> = new Map();
  #byName: ReadonlyMap<string, Target> = new Map();

  constructor({ models, credentials, probeIntervalMs }: ModelTableOptions, settings: Settings) {
    this.#own = models.map(ownModel);
    this.#credentials = credentials;
    this.apply(settings);
    this.#timer = setInterval(() => void this.probe(), probeIntervalMs);
    this.#timer.unref();
  }

  /** Takes over settings that were checked. Requests that are under way keep the backends that they have. */
  apply(settings: Settings): void {
    const before = this.#provided;
    this.#provided = this.#provide(settings);
    const all = [...this.#own, ...Array.from(this.#provided.values(), ({ model }) => model)];
    this.list = [...all.filter(({ task }) => task === "chat"), ...all.filter(({ task }) => task !== "chat")];
    const byName = new Map(this.list.map((model) => [model.name, model]));
    for (const model of this.list) model.apply(settings);
    for (const model of this.list) model.chain = chainOf(model, byName);
    this.targets = targetsOf(settings, this.list);
    this.#byName = new Map(this.targets.map((target) => [target.name, target]));
    for (const { model } of before.values()) {
      if (byName.get(model.name) !== model) closeWhenIdle(model);
    }
  }

  find(name: string): Target | undefined {
    return this.#byName.get(name);
  }

  /**
   * Whether a chat can be answered: at least one replica of at least one chat model of our own is healthy. Providers do
   * not count: a color is not ready before its own models are.
   */
  get ready(): boolean {
    return this.#own.some(({ task, healthyReplicas }) => task === "chat" && healthyReplicas > 0);
  }

  async probe(): Promise<void> {
    await Promise.all(this.#own.map((model) => model.probe()));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.list.map((model) => model.close()));
  }

  #provide(settings: Settings): Map<string, Provided> {
    const provided = new Map<string, Provided>();
    for (const [name, entry] of Object.entries(settings.models)) {
      const { provider: providerName, upstream = name, task = "chat", region, maxTokens } = entry;
      const provider = providerName === undefined ? undefined : settings.providers[providerName];
      if (providerName === undefined || !provider) continue;
      const origin = JSON.stringify([providerName, provider, upstream, task, region, maxTokens]);
      const known = this.#provided.get(name);
      if (known?.origin === origin) {
        provided.set(name, known);
        continue;
      }
      const { credential = "" } = provider;
      const secret = Object.hasOwn(this.#credentials, credential) ? this.#credentials[credential] : undefined;
      const traits = { id: providerName, region: region ?? provider.region, external: true };
      const backend = backendOf(provider, { ...traits, secret, model: name, upstream, maxTokens });
      provided.set(name, { model: new Model({ name, task, flag: undefined }, [backend]), origin });
    }
    return provided;
  }
}

function ownModel(config: ModelConfig): Model {
  const place = { model: config.name, region: config.region };
  return new Model(
    config,
    config.replicas.map((replica, index) => new Replica(replica, { ...place, index })),
  );
}

/** The model, its fallbacks, theirs, and so on; each once. */
function chainOf(model: Model, byName: ReadonlyMap<string, Model>): readonly Model[] {
  const chain = new Set([model]);
  for (const { entry } of chain) {
    for (const name of entry?.fallbacks ?? []) {
      const fallback = byName.get(name);
      if (fallback) chain.add(fallback);
    }
  }
  return [...chain];
}

// Longer than a request waits in the queue, or for its next try, before it is with the model again.
const IDLE_CHECK_MS = 60_000;

/** Requests that are still with a model that the settings no longer name, or on their way to it, are not cut. */
function closeWhenIdle(model: Model): void {
  const timer = setInterval(() => {
    if (model.outstanding > 0) return;
    clearInterval(timer);
    void model.close();
  }, IDLE_CHECK_MS);
  timer.unref();
}
