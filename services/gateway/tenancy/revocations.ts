import type { KeyValue } from "../state/key-value.ts";
import { tenantTombstone, tombstone } from "./tombstones.ts";

/** What a request waits for the key-value store at most. */
const LIMIT_MS = 100;
/** After it did not answer, requests go on without asking for so long. */
const PAUSE_MS = 2_000;
const MARGIN_SECONDS = 60;

/** Whom a key stands for. */
export interface KeyOfTenant {
  readonly tenant: string;
  readonly keyId: string;
}

/**
 * Tombstones of revoked keys and disabled tenants in the key-value store, by which gateways that the database tells
 * nothing of know them. They need not outlive the time that such a gateway goes by what it knew.
 */
export class Revocations {
  readonly #keyValue: KeyValue | undefined;
  #pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(keyValue: KeyValue | undefined) {
    this.#keyValue = keyValue;
  }

  /**
   * Never rejects: without the store, the database alone tells of it.
   * @param staleSeconds how long a gateway goes by what it knew
   */
  async revokeKey({ tenant, keyId }: KeyOfTenant, staleSeconds: number): Promise<void> {
    const seconds = Math.ceil(staleSeconds) + MARGIN_SECONDS;
    await this.#keyValue?.mark(tombstone(tenant, keyId), seconds).catch(() => undefined);
  }

  /** Never rejects. */
  async disableTenant(tenant: string, staleSeconds: number): Promise<void> {
    const seconds = Math.ceil(staleSeconds) + MARGIN_SECONDS;
    await this.#keyValue?.mark(tenantTombstone(tenant), seconds).catch(() => undefined);
  }

  /** Never rejects. */
  async enableTenant(tenant: string): Promise<void> {
    await this.#keyValue?.unmark(tenantTombstone(tenant)).catch(() => undefined);
  }

  /** Whether the key or its tenant has a tombstone, as far as the store says so in time. Never rejects. */
  async isRevoked({ tenant, keyId }: KeyOfTenant): Promise<boolean> {
    if (!this.#keyValue || performance.now() < this.#pausedUntil) return false;
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), LIMIT_MS);
    const asked = this.#keyValue.isAnyMarked([tombstone(tenant, keyId), tenantTombstone(tenant)]);
    const answer = await Promise.race([asked, late.promise]).catch(() => undefined);
    clearTimeout(timer);
    if (answer === undefined) this.#pausedUntil = performance.now() + PAUSE_MS;
    return answer === true;
  }
}
