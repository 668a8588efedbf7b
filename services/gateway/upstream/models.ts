import type { ModelConfig } from "../config.ts";
import { loadBound, rendezvousScore } from "../routing/affinity.ts";
import { concurrencyOf, ownValue } from "../routing/entries.ts";
import { isAllowed } from "../routing/residency.ts";
import type { ModelEntry } from "../routing/settings.ts";
import type { Settings } from "../settings.ts";
import type { Backend } from "./backend.ts";
import { Replica } from "./replica.ts";

/** What a choice among backends goes by. */
export interface Choice {
  /** Regions whose backends may be asked; undefined for all. */
  readonly allowed: ReadonlySet<string> | undefined;
  /** Whether only backends of our own may be asked. */
  readonly localOnly: boolean;
  /** Hash of the prompt's beginning, where prompts have replicas of their own. */
  readonly prompt: number | undefined;
  readonly loadFactor: number;
}

/** A model and the backends that serve it. */
export class Model {
  readonly name: string;
  readonly task: ModelConfig["task"];
  /** The flag that decides for whom it exists; undefined where it exists for all. */
  readonly flag: string | undefined;
  readonly replicas: readonly Backend[];
  /** What the settings file says of it. */
  entry: ModelEntry | undefined;
  #concurrency: number | undefined;
  /** Itself and the models that are asked in turn when it cannot answer. */
  chain: readonly Model[] = [this];

  constructor(
    { name, task, flag }: Pick<ModelConfig, "name" | "task" | "flag">,
    replicas: readonly Backend[],
  ) {
    this.name = name;
    this.task = task;
    this.flag = flag;
    this.replicas = replicas;
  }

  get healthyReplicas(): number {
    return this.replicas.filter(({ healthy }) => healthy).length;
  }

  get outstanding(): number {
    let sum = 0;
    for (const { outstanding } of this.replicas) sum += outstanding;
    return sum;
  }

  /** Requests that all its backends work on at a time; undefined where that is not known. */
  get capacity(): number | undefined {
    // Without a healthy one they are all asked.
    const { length } = this.replicas;
    return this.#concurrency === undefined ? undefined : this.#concurrency * (this.healthyReplicas || length);
  }

  /** Whether any of its backends may be asked at all. */
  serves({ allowed, localOnly }: Pick<Choice, "allowed" | "localOnly">): boolean {
    if (allowed === undefined && !localOnly) return true;
    return this.replicas.some((backend) => mayAsk(backend, allowed, localOnly));
  }

  /**
   * The backend that is to be asked: among those that are healthy and whose breaker lets a request through, the one with
   * the fewest outstanding requests, any of several; or the prompt's own, unless that has too much to do. Without a
   * healthy one each is a candidate: a probe may be wrong or late, and asking costs less than refusing.
   * @param tried backends that this request must not be sent to again
   */
  pick(choice: Choice, tried?: ReadonlySet<Backend>): Backend | undefined {
    let best: Backend | undefined;
    let equals = 0;
    for (const backend of this.replicas) {
      if (!isCandidate(backend, choice, tried)) continue;
      const order = best === undefined ? -1 : compare(backend, best);
      if (order > 0) continue;
      equals = order === 0 ? equals + 1 : 1;
      // Each of several that are equal is taken as often as the others.
      if (order < 0 || Math.random() * equals < 1) best = backend;
    }
    if (choice.prompt === undefined || !best?.healthy) return best;
    return this.#ownOf(choice.prompt, choice, tried) ?? best;
  }

  /** The prompt's own backend among the healthy ones that have room. */
  #ownOf(prompt: number, choice: Choice, tried: ReadonlySet<Backend> | undefined): Backend | undefined {
    const isOpen = (backend: Backend) => backend.healthy && isCandidate(backend, choice, tried);
    let outstanding = 0;
    let candidates = 0;
    for (const backend of this.replicas) {
      if (!isOpen(backend)) continue;
      outstanding += backend.outstanding;
      candidates += 1;
    }
    const bound = loadBound(outstanding, candidates, choice.loadFactor);
    let best: Backend | undefined;
    let bestScore = -1;
    for (const backend of this.replicas) {
      if (backend.outstanding >= bound || !isOpen(backend)) continue;
      const score = rendezvousScore(prompt, backend.seed);
      if (score <= bestScore) continue;
      best = backend;
      bestScore = score;
    }
    return best;
  }

  /** Takes over what the settings file says of it now. */
  apply(settings: Settings): void {
    const entry = ownValue(settings.models, this.name);
    this.entry = entry;
    this.#concurrency = concurrencyOf(settings, this.name);
    for (const backend of this.replicas) backend.region = backend.ownRegion ?? entry?.region;
  }

  async probe(): Promise<void> {
    await Promise.all(
      this.replicas.map((backend) => (backend instanceof Replica ? backend.probe() : undefined)),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.replicas.map((backend) => backend.close()));
  }
}

function isCandidate(
  backend: Backend,
  { allowed, localOnly }: Choice,
  tried: ReadonlySet<Backend> | undefined,
): boolean {
  return (
    !tried?.has(backend) && backend.breaker.allows(performance.now()) && mayAsk(backend, allowed, localOnly)
  );
}

/** Below 0 where the first is to be preferred: a healthy one, then one with less to do. */
function compare(one: Backend, other: Backend): number {
  return Number(other.healthy) - Number(one.healthy) || one.outstanding - other.outstanding;
}

function mayAsk(backend: Backend, allowed: ReadonlySet<string> | undefined, localOnly: boolean): boolean {
  return isAllowed(backend.region, allowed) && !(localOnly && backend.external);
}
