import type { KeyConfig } from "../config.ts";
import type { Settings } from "../settings.ts";
import { DEFAULT_PERMISSIONS, type Principal, type Tenant } from "./principal.ts";
import type { TenantRow } from "./store.ts";
import { entryOf, tenantOfRow, toTenant } from "./tenant.ts";

const UNBOUNDED = { requestsPerMinute: undefined, tokensPerMinute: undefined, concurrency: undefined };

/** The keys that the environment gives the gateway. They need no database, but heed what it says of their tenants. */
export class StaticKeys {
  readonly #keys: readonly KeyConfig[];
  #rows: ReadonlyMap<string, TenantRow> = new Map();
  #settings: Settings;
  #principals: ReadonlyMap<string, Principal> = new Map();

  constructor(keys: readonly KeyConfig[], settings: Settings) {
    this.#keys = keys;
    this.#settings = settings;
    this.apply(settings);
  }

  find(sha256: string): Principal | undefined {
    return this.#principals.get(sha256);
  }

  /** Tenants of these keys that the settings do not name. */
  get tenants(): readonly string[] {
    const named = new Set(this.#keys.map(({ tenant }) => tenant));
    return [...named].filter((id) => !entryOf(this.#settings, id));
  }

  apply(settings: Settings): void {
    this.#settings = settings;
    this.#build();
  }

  /** Takes over what the database says of all these tenants; those that it does not know have all defaults. */
  takeTenants(rows: readonly TenantRow[]): void {
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    this.#build();
  }

  #build(): void {
    const tenants = new Map<string, Tenant | undefined>();
    for (const { tenant } of this.#keys) tenants.set(tenant, this.#tenant(tenant));
    const entries = this.#keys.flatMap((key) => {
      const tenant = tenants.get(key.tenant);
      return tenant ? [[key.sha256, toPrincipal(key, tenant)] as const] : [];
    });
    this.#principals = new Map(entries);
  }

  #tenant(id: string): Tenant | undefined {
    const entry = entryOf(this.#settings, id);
    const row = this.#rows.get(id);
    return entry || !row ? toTenant(id, entry, this.#settings) : tenantOfRow(row, this.#settings);
  }
}

function toPrincipal(key: KeyConfig, tenant: Tenant): Principal {
  return {
    keyId: key.id,
    tenant,
    project: key.project,
    limits: UNBOUNDED,
    permissions: key.permissions ?? DEFAULT_PERMISSIONS,
    models: key.models,
    expiresAt: undefined,
    operator: key.operator,
    probe: key.probe,
  };
}
