import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";

/** A data store behind the gateway. */
export interface Dependency {
  readonly name: string;
  /** Resolves when it answers; rejects when it does not, within a second or two. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Watches data stores in the background: requests never wait for them. */
export class DependencyWatch {
  readonly #up = new Map<string, boolean>();
  readonly #dependencies: readonly Dependency[];
  readonly #timer: NodeJS.Timeout;
  readonly #metrics: Metrics;
  readonly #log: Log;

  constructor(
    dependencies: readonly Dependency[],
    intervalMs: number,
    tools: { metrics: Metrics; log: Log },
  ) {
    this.#dependencies = dependencies;
    this.#metrics = tools.metrics;
    this.#log = tools.log;
    for (const { name } of dependencies) tools.metrics.dependencyUp.set({ dependency: name }, 0);
    this.#timer = setInterval(() => void this.check(), intervalMs);
    this.#timer.unref();
  }

  get states(): { name: string; status: "up" | "down" }[] {
    return this.#dependencies.map(({ name }) => ({ name, status: this.#up.get(name) ? "up" : "down" }));
  }

  async check(): Promise<void> {
    await Promise.all(this.#dependencies.map((dependency) => this.#check(dependency)));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled(this.#dependencies.map((dependency) => dependency.close()));
  }

  async #check(dependency: Dependency): Promise<void> {
    const { name } = dependency;
    const up = await dependency.ping().then(
      () => true,
      () => false,
    );
    this.#metrics.dependencyUp.set({ dependency: name }, up ? 1 : 0);
    // Only changes are logged: a store that stays away must not fill the log.
    if (this.#up.get(name) !== up)
      this.#log[up ? "info" : "warn"]({ event: "dependency", dependency: name, up });
    this.#up.set(name, up);
  }
}
