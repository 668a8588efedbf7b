import { ApiError } from "../api/errors.ts";
import type { KeyConfig } from "../config.ts";
import type { Metrics } from "../metrics.ts";
import type { Settings } from "../settings.ts";
import type { Database } from "../state/database.ts";
import type { KeyValue } from "../state/key-value.ts";
import { hashOf, isWellFormed } from "./api-key.ts";
import { type Caller, Callers } from "./callers.ts";
import type { Principal } from "./principal.ts";
import { principalOfRow, principalOfToken } from "./principals.ts";
import { Revocations } from "./revocations.ts";
import { TenancyRows } from "./rows.ts";
import { StaticKeys } from "./static-keys.ts";
import type { Change, KeyRow } from "./store.ts";
import { entryOf } from "./tenant.ts";
import { isToken, TokenVerifier, type VerifiedToken } from "./tokens.ts";

/** So long what the key-value store said of a key counts for the next requests with it. */
const ASK_AGAIN_MS = 300;

export interface DirectoryOptions {
  readonly keys: readonly KeyConfig[];
  readonly settings: Settings;
  /** Undefined where only the environment's keys and tokens count. */
  readonly database: Database | undefined;
  readonly keyValue: KeyValue | undefined;
  readonly metrics: Metrics;
}

type Found = Principal | undefined;

/** Whom API keys and tokens stand for. */
export class Directory {
  readonly revocations: Revocations;
  readonly #rows: TenancyRows | undefined;
  readonly #static: StaticKeys;
  readonly #callers = new Callers();
  readonly #checking = new Map<string, Promise<Found>>();
  readonly #metrics: Metrics;
  #settings: Settings;
  #tokens: TokenVerifier;
  #uses: NodeJS.Timeout;
  #isStaticStale = true;

  constructor({ keys, settings, database, keyValue, metrics }: DirectoryOptions) {
    this.#settings = settings;
    this.#static = new StaticKeys(keys, settings);
    this.#tokens = new TokenVerifier(settings.auth.issuers);
    this.revocations = new Revocations(keyValue);
    this.#rows =
      database &&
      new TenancyRows({
        database,
        takeKey: (sha256, row) => this.#callers.take(sha256, row && this.#callerOfKey(row)),
        followed: (changes) => this.#follow(changes),
        reset: () => this.#reset(),
      });
    this.#uses = this.#noteUsesLater();
    this.#metrics = metrics;
    metrics.tenancyAge.readFrom((set) => {
      const seconds = (this.#rows?.feed.age(performance.now()) ?? 0) / 1000;
      set({}, Number.isFinite(seconds) ? seconds : -1);
    });
  }

  /**
   * The principal of a key or token, at once where it is known; undefined for one that is worth nothing.
   * @throws {ApiError} `unavailable` (or rejects with it) when only the database could say, and does not
   */
  find(token: string): Found | Promise<Found> {
    const sha256 = hashOf(token);
    const fixed = this.#static.find(sha256);
    if (fixed) return fixed;
    const caller = this.#callers.get(sha256);
    if (caller) return this.#vouch(caller);
    if (this.#callers.isUnknown(sha256)) return undefined;
    if (isToken(token))
      return this.#tokens.hasIssuers ? this.#counted(this.#check(token, sha256)) : undefined;
    const rows = this.#rows;
    return rows && isWellFormed(token) ? this.#counted(this.#lookUp(rows, sha256)) : undefined;
  }

  /** As `find`, by the SHA-256 of a key: for work that goes on when the request which asked for it is over. */
  findKey(sha256: string): Found | Promise<Found> {
    const fixed = this.#static.find(sha256);
    if (fixed) return fixed;
    const caller = this.#callers.get(sha256);
    if (caller) return this.#vouch(caller);
    return this.#rows && !this.#callers.isUnknown(sha256) ? this.#lookUp(this.#rows, sha256) : undefined;
  }

  /** Whom a token that was verified before stands for now; undefined when its tenant is gone or disabled. */
  async findToken(token: VerifiedToken): Promise<Found> {
    return (await this.#callerOfToken(token)).principal;
  }

  /** Takes over new settings. */
  apply(settings: Settings): void {
    this.#settings = settings;
    this.#static.apply(settings);
    this.#tokens = new TokenVerifier(settings.auth.issuers, this.#tokens);
    this.#callers.rebuild((row) => principalOfRow(row, settings));
    this.#isStaticStale = true;
    clearInterval(this.#uses);
    this.#uses = this.#noteUsesLater();
  }

  /** Resolves when what was written before the call counts here. */
  async catchUp(): Promise<void> {
    await this.#rows?.feed.catchUp();
  }

  async close(): Promise<void> {
    clearInterval(this.#uses);
    await this.#rows?.noteUses(this.#callers.takeUsed());
    this.#rows?.close();
  }

  #vouch(caller: Caller): Found | Promise<Found> {
    caller.isUsed = true;
    const feed = this.#rows?.feed;
    if (!caller.needsDatabase || !feed || !caller.principal) return caller.principal;
    const now = performance.now();
    if (feed.isCurrent(now)) return caller.principal;
    if (feed.age(now) > this.#settings.auth.staleSeconds * 1000) throw new ApiError("unavailable");
    return now - caller.askedAt < ASK_AGAIN_MS ? caller.principal : this.#askForTombstone(caller, now);
  }

  async #askForTombstone(caller: Caller, now: number): Promise<Found> {
    const { principal, tenant } = caller;
    if (!principal) return undefined;
    if (await this.revocations.isRevoked({ tenant, keyId: principal.keyId })) return undefined;
    caller.askedAt = now;
    return principal;
  }

  async #counted(finding: Promise<Found>): Promise<Found> {
    let outcome = "unavailable";
    try {
      const principal = await finding;
      outcome = principal ? "found" : "wrong";
      return principal;
    } finally {
      this.#metrics.keyLookups.inc({ outcome });
    }
  }

  async #lookUp(rows: TenancyRows, sha256: string): Promise<Found> {
    await rows.key(sha256);
    const caller = this.#callers.get(sha256);
    return caller && this.#vouch(caller);
  }

  /** Checks a token once, however many requests carry it. */
  #check(token: string, sha256: string): Promise<Found> {
    let checking = this.#checking.get(sha256);
    if (!checking) {
      checking = this.#checkToken(token, sha256).finally(() => this.#checking.delete(sha256));
      this.#checking.set(sha256, checking);
    }
    return checking;
  }

  async #checkToken(token: string, sha256: string): Promise<Found> {
    const tokens = this.#tokens;
    const verified = await tokens.verify(token);
    const caller = verified && (await this.#callerOfToken(verified));
    // What other settings made of it must not be remembered.
    if (tokens === this.#tokens) this.#callers.take(sha256, caller?.principal && caller);
    return caller?.principal;
  }

  #callerOfKey(source: KeyRow): Caller {
    const principal = principalOfRow(source, this.#settings);
    return { tenant: source.tenant, source, needsDatabase: true, principal, isUsed: false, askedAt: 0 };
  }

  async #callerOfToken(source: VerifiedToken): Promise<Caller> {
    const { tenant } = source;
    const needsDatabase = entryOf(this.#settings, tenant) === undefined;
    const row = needsDatabase ? await this.#rows?.tenant(tenant) : undefined;
    const principal = principalOfToken(source, row, this.#settings);
    return { tenant, source, needsDatabase, principal, isUsed: false, askedAt: 0 };
  }

  #follow(changes: readonly Change[]): void {
    const keys = new Set(changes.filter(({ kind }) => kind === "key").map(({ name }) => name));
    const tenants = new Set(changes.filter(({ kind }) => kind !== "key").map(({ name }) => name));
    const forgotten = [...keys].filter((sha256) => this.#callers.forget(sha256));
    for (const tenant of tenants) forgotten.push(...this.#callers.forgetTenant(tenant));
    // Asked for again before a request needs them: should the database go away now, what is known counts.
    for (const sha256 of forgotten) this.#rows?.key(sha256).catch(() => undefined);
    if (this.#isStaticStale || this.#static.tenants.some((id) => tenants.has(id))) void this.#askForTenants();
  }

  async #askForTenants(): Promise<void> {
    const ids = this.#static.tenants;
    const settings = this.#settings;
    this.#isStaticStale = false;
    try {
      const rows = await Promise.all(ids.map((id) => this.#rows?.tenant(id)));
      if (settings !== this.#settings) return;
      this.#static.takeTenants(rows.filter((row) => row !== undefined));
    } catch {
      this.#isStaticStale = true;
    }
  }

  #reset(): void {
    this.#callers.clear();
    this.#isStaticStale = true;
  }

  #noteUsesLater(): NodeJS.Timeout {
    const note = () => void this.#rows?.noteUses(this.#callers.takeUsed());
    return setInterval(note, this.#settings.auth.lastUsedSeconds * 1000).unref();
  }
}
