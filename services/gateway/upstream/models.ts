import type { ModelConfig } from "../config.ts";
import { Replica } from "./replica.ts";

/** A model and the replicas that serve it. */
export class Model {
  readonly name: string;
  readonly task: ModelConfig["task"];
  /** The flag that decides for whom it exists; undefined where it exists for all. */
  readonly flag: string | undefined;
  readonly replicas: readonly Replica[];

  constructor(config: ModelConfig) {
    this.name = config.name;
    this.task = config.task;
    this.flag = config.flag;
    this.replicas = config.replicas.map((replica) => new Replica(replica));
  }

  get healthyReplicas(): number {
    return this.replicas.filter(({ healthy }) => healthy).length;
  }

  get outstanding(): number {
    return this.replicas.reduce((sum, replica) => sum + replica.outstanding, 0);
  }

  /**
   * The healthy replica with the fewest outstanding requests, any of several. Without a healthy one every replica is a
   * candidate: a probe may be wrong or late, and asking costs less than refusing.
   * @param tried replicas that this request must not be sent to again
   */
  pick(tried: ReadonlySet<Replica>): Replica | undefined {
    const untried = this.replicas.filter((replica) => !tried.has(replica));
    const healthy = untried.filter((replica) => replica.healthy);
    const candidates = healthy.length > 0 ? healthy : untried;
    const least = Math.min(...candidates.map(({ outstanding }) => outstanding));
    const idlest = candidates.filter(({ outstanding }) => outstanding === least);
    return idlest[Math.floor(Math.random() * idlest.length)];
  }
}

/** All models, chat models first, and the probes that watch their replicas. */
export class ModelTable {
  readonly list: readonly Model[];
  readonly #byName: ReadonlyMap<string, Model>;
  readonly #timer: NodeJS.Timeout;

  /** @param probeIntervalMs milliseconds between two health probes of each replica */
  constructor(configs: readonly ModelConfig[], probeIntervalMs: number) {
    const models = configs.map((config) => new Model(config));
    this.list = [
      ...models.filter(({ task }) => task === "chat"),
      ...models.filter(({ task }) => task !== "chat"),
    ];
    this.#byName = new Map(this.list.map((model) => [model.name, model]));
    this.#timer = setInterval(() => void this.probe(), probeIntervalMs);
    this.#timer.unref();
  }

  find(name: string): Model | undefined {
    return this.#byName.get(name);
  }

  /** Whether a chat can be answered: at least one replica of at least one chat model is healthy. */
  get ready(): boolean {
    return this.list.some(({ task, healthyReplicas }) => task === "chat" && healthyReplicas > 0);
  }

  async probe(): Promise<void> {
    await Promise.all(this.list.flatMap(({ replicas }) => replicas.map((replica) => replica.probe())));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.list.flatMap(({ replicas }) => replicas.map((replica) => replica.close())));
  }
}
