import type { Operation, RunEvent, StepSummary } from "../index.ts";
import type { ProviderTable } from "./providers.ts";
import type { WorkingSet } from "./working-set.ts";

const nameOf = (urn: string): string => urn.split("::").at(-1) ?? urn;

export interface RunSettings {
  preview: boolean;
  providers: ProviderTable;
  resources: WorkingSet;
  onEvent?: ((event: RunEvent) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** What all parts of one run share: its resources, its providers, its steps and its problems. */
export class Run {
  readonly preview: boolean;
  readonly providers: ProviderTable;
  readonly resources: WorkingSet;
  readonly steps: StepSummary[] = [];
  readonly problems: string[] = [];
  readonly #onEvent: (event: RunEvent) => void;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #reported = new WeakSet<Error>();
  readonly #stopped = Promise.withResolvers<never>();

  constructor(settings: RunSettings) {
    this.preview = settings.preview;
    this.providers = settings.providers;
    this.resources = settings.resources;
    this.#onEvent = settings.onEvent ?? (() => {});
    // The rejection is for whoever races with it; without a racer it is no unhandled one.
    this.#stopped.promise.catch(() => {});
    const interrupt = () => {
      this.fail("interrupted: what was done is kept, run the command again to go on");
      // Steps under way are told to give up; what they then report is a failure of their own.
      void this.providers.cancel().catch((error: Error) => this.fail(error.message));
    };
    if (settings.signal?.aborted) interrupt();
    settings.signal?.addEventListener("abort", interrupt, { once: true });
  }

  get failed(): boolean {
    return this.problems.length > 0;
  }

  /** Rejects at the run's first problem. */
  get stopped(): Promise<never> {
    return this.#stopped.promise;
  }

  /** No new step starts after this; those under way come to an end. */
  fail(problem: string): void {
    this.problems.push(problem);
    this.#stopped.reject(new Error(problem));
  }

  /** Fails the run with an error, once, however many hands it passes through. */
  failWith(error: unknown, about: { name: string; type: string }): void {
    const { message } = error as Error;
    if (this.#reported.has(error as Error) || this.problems.includes(message)) return;
    this.#reported.add(error as Error);
    this.fail(`${about.name} (${about.type}): ${message}`);
  }

  throwIfFailed(): void {
    if (this.problems[0] !== undefined) throw new Error(this.problems[0]);
  }

  warn(urn: string, message: string): void {
    this.#onEvent({ kind: "warning", urn, message });
  }

  /** Carries out one step, reports its start and its end, and stops the run if it fails. */
  async step<T>(
    operation: Operation,
    resource: { urn: string; type: string },
    work: () => Promise<T>,
  ): Promise<T> {
    const about = { operation, urn: resource.urn, type: resource.type, name: nameOf(resource.urn) };
    const start = performance.now();
    this.#onEvent({ kind: "step-started", ...about });
    const promise = work();
    this.#underWay.add(promise);
    try {
      const result = await promise;
      const milliseconds = Math.round(performance.now() - start);
      this.steps.push({ ...about, milliseconds });
      this.#onEvent({ kind: "step-finished", ...about, milliseconds });
      return result;
    } catch (error) {
      const message = (error as Error).message;
      this.#onEvent({ kind: "step-failed", ...about, message });
      this.failWith(error, about);
      throw error;
    } finally {
      this.#underWay.delete(promise);
    }
  }

  /** Waits until no step is under way. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }
}
