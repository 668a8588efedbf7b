import type { Tenant } from "../tenancy/principal.ts";
import type { Settlement, SettlementBatch } from "./batch.ts";
import { tenantBounds } from "./batch.ts";

const GATHER_MS = 5;
const MAX_BATCH = 200;
/** Settlements that wait while the store is away; what comes beyond them stays reserved until its window ends. */
const MAX_WAITING = 100_000;

interface Line {
  /** As it was known last: its bounds may have changed. */
  tenant: Tenant;
  readonly waiting: Settlement[];
  /** What is on its way, or was when the store went away; goes again with its number, so that it counts once. */
  sending: { readonly settlements: readonly Settlement[]; readonly call: number } | undefined;
  running: Promise<void> | undefined;
}

export type SendSettlements = (batch: SettlementBatch, call: number) => Promise<void>;

/** Gathers settlements for some milliseconds and sends those of one tenant in one call, in their order. */
export class SettlementQueue {
  readonly #send: SendSettlements;
  readonly #lines = new Map<string, Line>();
  #timer: NodeJS.Timeout | undefined;
  #calls = 0;
  #size = 0;

  /** @param send rejects while the store is away; then `resume` is called when it is back */
  constructor(send: SendSettlements) {
    this.#send = send;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  add(tenant: Tenant, settlement: Settlement): void {
    if (this.#size >= MAX_WAITING) return;
    this.#size += 1;
    const line = this.#lines.get(tenant.id);
    if (line) {
      line.tenant = tenant;
      line.waiting.push(settlement);
    } else
      this.#lines.set(tenant.id, { tenant, waiting: [settlement], sending: undefined, running: undefined });
    this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  /** Sends what waits. */
  resume(): void {
    this.#flush();
  }

  /** Resolves when all of it is sent, or the store is away. */
  async drain(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await Promise.all([...this.#lines.values()].map((line) => this.#start(line)));
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const line of this.#lines.values()) void this.#start(line);
  }

  #start(line: Line): Promise<void> {
    line.running ??= this.#sendLine(line)
      // It waits until the store is back.
      .catch(() => undefined)
      .finally(() => {
        line.running = undefined;
      });
    return line.running;
  }

  async #sendLine(line: Line): Promise<void> {
    while (line.sending || line.waiting.length > 0) {
      line.sending ??= this.#next(line);
      const { settlements, call } = line.sending;
      const { tenant } = line;
      await this.#send({ tenant, bounds: tenantBounds(tenant), settlements }, call);
      this.#size -= settlements.length;
      line.sending = undefined;
    }
    this.#lines.delete(line.tenant.id);
  }

  #next({ waiting }: Line) {
    this.#calls += 1;
    return { settlements: waiting.splice(0, MAX_BATCH), call: this.#calls };
  }
}
