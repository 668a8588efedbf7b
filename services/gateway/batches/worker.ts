import { setTimeout as wait } from "node:timers/promises";
import type { Envelope, ObjectKey } from "../content/envelope.ts";
import type { Log } from "../log.ts";
import type { Principal } from "../tenancy/principal.ts";
import { StorageAway } from "./database.ts";
import type { FileStore } from "./file-store.ts";
import { lineBillId } from "./ids.ts";
import type { InternalAnswer, InternalRequest } from "./internal-call.ts";
import { checkInput, DAMAGED, keyOf, openRequest, resultPlace, writeResults } from "./jobs.ts";
import { type LineOutcome, runLine, toFailedLine } from "./line-runner.ts";
import type { BatchesSettings } from "./settings.ts";
import type { BatchWork, ClaimedLine, WorkStore } from "./work-store.ts";

// A batch that cannot be worked on, as for want of a content key, is left alone for so long.
const TROUBLE_SECONDS = 30;
const SECOND_MS = 1_000;

export interface WorkerTools {
  readonly work: WorkStore;
  readonly files: FileStore;
  readonly envelope: Envelope;
  readonly log: Log;
  /** As they are now. */
  settings(): BatchesSettings;
  /** Requests of clients that are under way; those of batches are none. */
  clientRequests(): number;
  /** Whom a batch is run for, as it is now; undefined when nobody may be served by it any more. */
  principalOf(batch: BatchWork): Promise<Principal | undefined>;
  call(request: InternalRequest): Promise<InternalAnswer>;
}

interface Task {
  readonly batch: BatchWork;
  readonly key: ObjectKey;
  readonly line: ClaimedLine;
  readonly leaving: AbortController;
}

/** Does batches' work in the background of one gateway; what any of them leaves undone, the others take up. */
export class BatchWorker {
  readonly #tools: WorkerTools;
  readonly #running = new Set<Task>();
  #queue: Task[] = [];
  #job: Promise<void> | undefined;
  readonly #aborted = new AbortController();
  #stopping = false;
  #woken = Promise.withResolvers<void>();
  #stopped: Promise<void> = Promise.resolve();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #keptAt = performance.now();

  constructor(tools: WorkerTools) {
    this.#tools = tools;
  }

  start(): void {
    this.#stopped = this.#run();
  }

  /** Takes up nothing more; resolves when what runs has ended and the rest is given back to others. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#queue = [];
    this.#wake();
    await this.#stopped;
    while (this.#running.size > 0 || this.#job !== undefined) {
      await Promise.race([this.#woken.promise, wait(this.#tools.settings().pollMs)]);
      this.#woken = Promise.withResolvers();
      // What takes long stays this worker's; nobody else shall begin it as well.
      await this.#keepLeases().catch(() => undefined);
    }
    await this.#tools.work.releaseAll().catch(() => undefined);
  }

  /** Ends what runs, for there is no time left. */
  abort(): void {
    for (const { leaving } of this.#running) leaving.abort();
    this.#aborted.abort();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const isBusy = await this.#turn().catch((error) => this.#trouble("a look for work failed", error));
      if (isBusy === true || this.#stopping) continue;
      await Promise.race([
        this.#woken.promise,
        wait(this.#tools.settings().pollMs, undefined, { ref: false }),
      ]);
      this.#woken = Promise.withResolvers();
    }
  }

  /** Whether it is worth to look for more at once. */
  async #turn(): Promise<boolean> {
    await this.#lookAround();
    await this.#keepLeases();
    const free = this.#slots() - this.#running.size;
    if (free <= 0) return false;
    if (this.#queue.length === 0) await this.#claim();
    const tasks = this.#queue.splice(0, free);
    for (const task of tasks) void this.#attempt(task);
    return tasks.length > 0;
  }

  /** How many lines may run now: few while clients want the gateway for themselves. */
  #slots(): number {
    const { concurrency, yieldAbove } = this.#tools.settings();
    return Math.min(concurrency, this.#tools.clientRequests() > yieldAbove ? 1 : concurrency);
  }

  /** What is to be done from time to time, however busy it is. */
  async #lookAround(): Promise<void> {
    const { work, settings } = this.#tools;
    if (performance.now() - this.#lookedAt < settings().pollMs) return;
    this.#lookedAt = performance.now();
    await work.end();
    await this.#dropStopped();
    if (settings().concurrency > 0) await this.#claimJob();
  }

  async #dropStopped(): Promise<void> {
    const ids = [...this.#running, ...this.#queue].map(({ batch }) => batch.id);
    const stopped = await this.#tools.work.stopped([...new Set(ids)]);
    this.#queue = this.#queue.filter(({ batch }) => !stopped.has(batch.id));
    for (const { batch, leaving } of this.#running) if (stopped.has(batch.id)) leaving.abort();
  }

  async #keepLeases(): Promise<void> {
    const { leaseSeconds } = this.#tools.settings();
    const isDue = performance.now() - this.#keptAt > (leaseSeconds * SECOND_MS) / 3;
    if (!isDue || this.#running.size + this.#queue.length === 0) return;
    await this.#tools.work.keepLines(leaseSeconds);
    this.#keptAt = performance.now();
  }

  /** Checking an input and writing results: one at a time, beside the lines. */
  async #claimJob(): Promise<void> {
    if (this.#job !== undefined) return;
    const { work, files, envelope } = this.#tools;
    const settings = this.#tools.settings();
    const batch = await work.claimBatch(settings.leaseSeconds);
    if (!batch) return;
    const tools = { work, files, envelope, settings, signal: this.#aborted.signal };
    const doing = batch.outcome ? writeResults(batch, tools) : checkInput(batch, tools);
    this.#job = doing
      .catch(async (error) => {
        this.#trouble("a batch could not be worked on", error, batch);
        await work.releaseBatch(batch.id, TROUBLE_SECONDS).catch(() => undefined);
      })
      .finally(() => {
        this.#job = undefined;
        // Others may wait.
        this.#lookedAt = Number.NEGATIVE_INFINITY;
        this.#wake();
      });
  }

  async #claim(): Promise<void> {
    const { work, envelope } = this.#tools;
    const { concurrency, leaseSeconds } = this.#tools.settings();
    const claim = await work.claimLines(concurrency, leaseSeconds);
    if (!claim) return;
    const { batch, lines } = claim;
    try {
      if (!(await this.#tools.principalOf(batch))) return await work.stop(batch.id, REVOKED);
      const key = await keyOf(batch, envelope);
      this.#queue = lines.map((line) => ({ batch, key, line, leaving: new AbortController() }));
    } catch (error) {
      this.#trouble("a batch could not be worked on", error, batch);
      await work.delayBatch(batch.id, TROUBLE_SECONDS);
      for (const { number } of lines) await work.releaseLine(batch.id, number);
    }
  }

  async #attempt(task: Task): Promise<void> {
    this.#running.add(task);
    try {
      // Since its line was claimed the key may have been revoked, or changed.
      const principal = await this.#tools.principalOf(task.batch);
      if (!principal) return await this.#tools.work.stop(task.batch.id, REVOKED);
      await this.#settle(task, await this.#outcomeOf(task, principal));
    } catch (error) {
      this.#trouble("a line could not be worked on", error, task.batch);
      const later = { delaySeconds: TROUBLE_SECONDS };
      await this.#tools.work.releaseLine(task.batch.id, task.line.number, later).catch(() => undefined);
    } finally {
      this.#running.delete(task);
      this.#wake();
    }
  }

  async #outcomeOf({ batch, key, line, leaving }: Task, principal: Principal): Promise<LineOutcome> {
    const { number, attempts } = line;
    const request = openRequest(key, line);
    if (!request) {
      const damaged = toFailedLine({ batchId: batch.id, number, request }, ...DAMAGED);
      return { kind: "done", failed: true, line: damaged };
    }
    const attempt = { batchId: batch.id, number, request, attempts };
    const { signal } = leaving;
    const caller = { principal, billedAs: lineBillId(batch.id, number) };
    return runLine(attempt, (sent) => this.#tools.call({ ...sent, caller, signal }), signal);
  }

  async #settle({ batch, key, line }: Task, outcome: LineOutcome): Promise<void> {
    const { work } = this.#tools;
    if (outcome.kind === "done") {
      const response = key.seal(outcome.line, resultPlace(line.number));
      await this.#persist(() => work.finishLine(batch.id, line.number, { failed: outcome.failed, response }));
    } else if (outcome.kind === "wait") {
      const { seconds, all, tried } = outcome;
      if (all) await this.#delay(batch, seconds);
      await work.releaseLine(batch.id, line.number, { delaySeconds: seconds, tried });
    } else await work.releaseLine(batch.id, line.number);
  }

  async #delay(batch: BatchWork, seconds: number): Promise<void> {
    const { work } = this.#tools;
    await work.delayBatch(batch.id, seconds);
    const waiting = this.#queue.filter((task) => task.batch.id === batch.id);
    this.#queue = this.#queue.filter((task) => task.batch.id !== batch.id);
    for (const { line } of waiting) await work.releaseLine(batch.id, line.number);
  }

  /** An answer is paid for: it is kept until the database takes it, or the gateway ends. */
  async #persist(store: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await store();
        return;
      } catch (error) {
        if (this.#stopping) throw error;
        await wait(this.#tools.settings().pollMs);
      }
    }
  }

  #wake(): void {
    this.#woken.resolve();
  }

  #trouble(message: string, err: unknown, batch?: BatchWork): void {
    // The watch over the database tells of it, once.
    if (err instanceof StorageAway) return;
    const { log } = this.#tools;
    log.warn({ event: "batch_trouble", batch: batch?.id, tenant: batch?.tenant, err }, message);
  }
}

const REVOKED = {
  code: "key_not_valid",
  message: "The API key that made the batch is not valid any more.",
  param: null,
  line: null,
} as const;
