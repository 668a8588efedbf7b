import type { Log } from "../log.ts";
import { StorageAway } from "./database.ts";
import type { BatchesSettings } from "./settings.ts";
import type { SweepStore } from "./sweep-store.ts";

const INTERVAL_MS = 30_000;
// So that one gateway's sweep never keeps the database busy for long.
const MAX_ROUNDS = 200;

/** Removes from time to time what is over, and wraps data keys anew after the content key was changed. */
export class Sweeper {
  readonly #store: SweepStore;
  readonly #log: Log;
  readonly #settings: () => BatchesSettings;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #closed = false;

  constructor(store: SweepStore, settings: () => BatchesSettings, log: Log) {
    this.#store = store;
    this.#settings = settings;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => void this.sweep(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** Sweeps now. Never rejects: what fails is tried again next time. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep()
      .catch((error) => {
        if (!(error instanceof StorageAway))
          this.#log.warn({ event: "sweep_failed", err: error }, "sweep failed");
      })
      .finally(() => {
        this.#sweeping = undefined;
      });
    return this.#sweeping;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  async #sweep(): Promise<void> {
    await this.#store.expire();
    await this.#repeat(() => this.#store.removeFiles());
    await this.#repeat(() => this.#store.removeLines());
    await this.#store.removeBatches(this.#settings().fileRetentionDays);
    const failed: unknown[] = [];
    await this.#repeat(async () => (await this.#store.rewrap((error) => failed.push(error))) > 0);
    const [err] = failed;
    if (err)
      this.#log.error({ event: "rewrap_failed", count: failed.length, err }, "data keys stay as they are");
  }

  async #repeat(removeSome: () => Promise<boolean>): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS && !this.#closed; round += 1) if (!(await removeSome())) return;
  }
}
