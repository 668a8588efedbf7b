import pLimit from "p-limit";
import type { Operation, RunEvent, StepSummary } from "../index.ts";
import type { ProviderTable } from "./providers.ts";
import type { ResourceState } from "./state.ts";
import { masked, messageOf } from "./values.ts";
import type { WorkingSet } from "./working-set.ts";

/** Steps at the same time, as many as the Pulumi CLI takes by default on a machine of four cores. */
const PARALLEL = 16;

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
  /** The deletions of this run, so that none is begun twice. */
  readonly deletions = new Map<ResourceState, Promise<void>>();
  readonly #onEvent: (event: RunEvent) => void;
  readonly #limit = pLimit(PARALLEL);
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #claimed = new Set<string>();
  readonly #held = new Map<string, Promise<unknown>>();
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
      void this.providers.cancel().catch((error: unknown) => this.fail(messageOf(error)));
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
    const message = messageOf(error);
    if (this.problems.includes(message)) return;
    if (error instanceof Error) {
      if (this.#reported.has(error)) return;
      this.#reported.add(error);
    }
    this.fail(`${about.name} (${about.type}): ${message}`);
  }

  throwIfFailed(): void {
    if (this.problems[0] !== undefined) throw new Error(this.problems[0]);
  }

  warn(urn: string, message: string): void {
    this.#onEvent({ kind: "warning", urn, message });
  }

  /** Begins the registration of a resource, when nothing holds it any more. */
  async claim(urn: string): Promise<void> {
    for (let held = this.#held.get(urn); held !== undefined; held = this.#held.get(urn)) await held;
    this.#claimed.add(urn);
  }

  isClaimed(urn: string): boolean {
    return this.#claimed.has(urn);
  }

  /** Whether this run has deleted a resource so that its registration makes it anew. */
  isReplaced(urn: string): boolean {
    return [...this.deletions.keys()].some((deleted) => deleted.urn === urn);
  }

  /** Lets the registrations of resources wait. @returns a function that lets them go on. */
  hold(urns: readonly string[]): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const holds = urns.map((urn) => [urn, Promise.all([this.#held.get(urn), promise])] as const);
    for (const [urn, held] of holds) this.#held.set(urn, held);
    return () => {
      for (const [urn, held] of holds) if (this.#held.get(urn) === held) this.#held.delete(urn);
      resolve();
    };
  }

  /** Has `settle` wait for the work as well. */
  async track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  /** Carries out one step, reports its start and its end, and stops the run if it fails. */
  step<T>(
    operation: Operation,
    resource: Pick<ResourceState, "urn" | "type" | "inputs" | "outputs">,
    work: () => Promise<T>,
  ): Promise<T> {
    const about = { operation, urn: resource.urn, type: resource.type, name: nameOf(resource.urn) };
    const carryOut = async () => {
      this.throwIfFailed();
      const start = performance.now();
      this.#onEvent({ kind: "step-started", ...about });
      try {
        const result = await work();
        const milliseconds = Math.round(performance.now() - start);
        this.steps.push({ ...about, milliseconds });
        this.#onEvent({ kind: "step-finished", ...about, milliseconds });
        return result;
      } catch (error) {
        // Providers repeat what they were given, and errors are shown to people and kept in logs.
        if (error instanceof Error) error.message = masked(error.message, resource);
        this.#onEvent({ kind: "step-failed", ...about, message: messageOf(error) });
        this.failWith(error, about);
        throw error;
      }
    };
    return this.track(this.#limit(carryOut));
  }

  /** Waits until no step is under way. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }
}
