import type { KeyConfig } from "../config.ts";
import type { Settings } from "../settings.ts";
import { DEFAULT_PERMISSIONS, type Principal } from "./principal.ts";
import { toTenant } from "./tenant.ts";

const UNBOUNDED = { requestsPerMinute: undefined, tokensPerMinute: undefined, concurrency: undefined };

/** Whom API keys stand for. */
export interface Directory {
  /** The principal of a key by the key's SHA-256; at once where it is known. */
  find(sha256: string): Principal | undefined | Promise<Principal | undefined>;
  /** Takes over new settings. */
  apply(settings: Settings): void;
}

/** The keys that the environment gives the gateway; they need no database. */
export class StaticDirectory implements Directory {
  readonly #keys: readonly KeyConfig[];
  #principals: ReadonlyMap<string, Principal> = new Map();

  constructor(keys: readonly KeyConfig[], settings: Settings) {
    this.#keys = keys;
    this.apply(settings);
  }

  find(sha256: string): Principal | undefined {
    return this.#principals.get(sha256);
  }

  apply(settings: Settings): void {
    const tenants = new Map(
      this.#keys.map(({ tenant }) => [tenant, toTenant(tenant, settings.tenants[tenant], settings)]),
    );
    this.#principals = new Map(
      this.#keys.map((key) => [
        key.sha256,
        {
          keyId: key.id,
          tenant: tenants.get(key.tenant) ?? toTenant(key.tenant, undefined, settings),
          project: key.project,
          limits: UNBOUNDED,
          permissions: key.permissions ?? DEFAULT_PERMISSIONS,
          models: key.models,
          expiresAt: undefined,
          operator: key.operator,
          probe: key.probe,
        },
      ]),
    );
  }
}
