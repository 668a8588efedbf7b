import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey, type LocalJWKSet } from "jose";
import { ApiError } from "../api/errors.ts";

const FETCH_TIMEOUT_MS = 2_000;
const MAX_BYTES = 1_048_576;
/** How old keys may be before they are asked for anew, beside the requests. */
const REFRESH_MS = 300_000;
/** Pause between two attempts: tokens that name keys which do not exist must not flood the issuer. */
const PAUSE_MS = 1_000;
const MAX_WAITING = 1_000;

/** The public keys of an issuer. Those that were seen last go on while it cannot be reached. */
export class KeySet {
  readonly #url: string;
  #keys: LocalJWKSet | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<boolean> | undefined;
  #waiting = 0;

  constructor(url: string) {
    this.#url = url;
    void this.refresh();
  }

  /**
   * Finds the key that a token names, also one that is new at the issuer.
   * @throws {ApiError} `unavailable` where the issuer has never answered
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (!this.#keys) await this.refresh();
    if (!this.#keys) throw new ApiError("unavailable");
    if (performance.now() - this.#fetchedAt > REFRESH_MS) void this.refresh();
    try {
      return await this.#keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await this.#refreshFor())) throw error;
      return this.#keys(header, token);
    }
  };

  /** As `refresh`, for a token whose key is not known; at most so many wait. */
  async #refreshFor(): Promise<boolean> {
    if (this.#waiting >= MAX_WAITING) return false;
    this.#waiting += 1;
    try {
      return await this.refresh();
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Asks the issuer for its keys, unless that was just done; whether there are newer ones now. Never rejects. */
  refresh(): Promise<boolean> {
    const now = performance.now();
    if (!this.#fetching && now - this.#askedAt < PAUSE_MS) return Promise.resolve(false);
    this.#fetching ??= this.#takeKeys(now).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #takeKeys(now: number): Promise<boolean> {
    this.#askedAt = now;
    try {
      this.#keys = await this.#fetch();
      this.#fetchedAt = performance.now();
      return true;
    } catch {
      return false;
    }
  }

  async #fetch(): Promise<LocalJWKSet> {
    const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
    const response = await fetch(this.#url, { signal, headers: { accept: "application/json" } });
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body) {
      size += chunk.length;
      if (size > MAX_BYTES) throw new Error("too large");
      chunks.push(chunk);
    }
    // jose checks what it is given.
    return createLocalJWKSet(JSON.parse(Buffer.concat(chunks).toString()) as JSONWebKeySet);
  }
}
