import { ApiError } from "../api/errors.ts";
import { entryOf } from "../tenancy/tenant.ts";
import { listTenants, tenantById } from "./reads.ts";
import { type AdminCall, adminRoute } from "./route.ts";
import * as schemas from "./schemas.ts";
import { showPage, showStaticTenant, showTenant } from "./shapes.ts";
import type { StoredTenant } from "./stored.ts";
import { createTenant, updateTenant } from "./writes.ts";

type AnyCall = AdminCall<unknown, unknown>;

const list = adminRoute({
  method: "get",
  path: "/tenants",
  operationId: "listTenants",
  summary: "Lists tenants: all of them for operators, the own one for others.",
  action: "read",
  resource: "tenants",
  query: schemas.pageQuery,
  response: schemas.listOf("TenantList", schemas.tenantObject),
  async handle({ database, gateway, principal, query: { after = "", limit } }) {
    if (!principal.operator) {
      const own = await readTenant({ database, gateway }, principal.tenant.id);
      return { object: "list", data: own ? [own] : [], next: null };
    }
    const stored = await database.use((db) => listTenants(db, { after, limit: limit + 1 }));
    const page = showPage(stored, limit, showTenant);
    if (after !== "") return page;
    const named = Object.entries(gateway.settings.tenants).map(([id, entry]) => showStaticTenant(id, entry));
    return { ...page, data: [...named, ...page.data] };
  },
});

const create = adminRoute({
  method: "post",
  path: "/tenants",
  operationId: "createTenant",
  summary: "Makes a tenant.",
  action: "write",
  resource: "tenants",
  operatorsOnly: true,
  body: schemas.createTenantRequest,
  response: schemas.tenantObject,
  status: 201,
  errors: ["conflict"],
  async handle({ database, gateway, body: { id, ...fields }, about }) {
    about(id);
    const taken = new ApiError("conflict", { message: "There is a tenant of this id.", param: "id" });
    if (entryOf(gateway.settings, id)) throw taken;
    const tenant = await database.use((db) => createTenant(db, id, fields));
    if (!tenant) throw taken;
    await gateway.directory.catchUp();
    return showTenant(tenant);
  },
});

const retrieve = adminRoute({
  method: "get",
  path: "/tenants/{tenant}",
  operationId: "retrieveTenant",
  summary: "Answers with a tenant.",
  action: "read",
  resource: "tenants",
  response: schemas.tenantObject,
  async handle(call) {
    const tenant = await readTenant(call, call.params.tenant ?? "");
    if (!tenant) throw new ApiError("not_found");
    return tenant;
  },
});

const update = adminRoute({
  method: "patch",
  path: "/tenants/{tenant}",
  operationId: "updateTenant",
  summary: "Changes a tenant, or disables it and all of its keys.",
  action: "write",
  resource: "tenants",
  operatorsOnly: true,
  body: schemas.updateTenantRequest,
  response: schemas.tenantObject,
  errors: ["conflict"],
  async handle({ database, gateway, params: { tenant: id = "" }, body: { version, ...changes } }) {
    if (entryOf(gateway.settings, id)) throw fixed();
    const stored = await database.use((db) => tenantById(db, id));
    if (!stored) throw new ApiError("not_found");
    const changed = await database.use((db) => updateTenant(db, { id, version }, merged(stored, changes)));
    if (!changed) throw new ApiError("conflict");
    const { revocations } = gateway.directory;
    if (changed.disabled_at) await revocations.disableTenant(id, gateway.settings.auth.staleSeconds);
    else await revocations.enableTenant(id);
    await gateway.directory.catchUp();
    return showTenant(changed);
  },
});

export const TENANT_ROUTES = [list, create, retrieve, update];

type Changes = Partial<Omit<StoredTenant, "id" | "version">> & { readonly disabled?: boolean | undefined };

function merged(stored: StoredTenant, changes: Changes) {
  const { name, tier, region, sensitivity, limits, budget, disabled_at } = stored;
  const kept = { name, tier, region, sensitivity, limits, budget, disabled: disabled_at !== null };
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return { ...kept, ...(Object.fromEntries(given) as Partial<typeof kept>) };
}

function fixed(): ApiError {
  return new ApiError("conflict", { message: "The settings file names this tenant: change it there." });
}

/** The tenant as clients see it, wherever it is named; undefined if there is none of this id. */
async function readTenant({ database, gateway }: Pick<AnyCall, "database" | "gateway">, id: string) {
  const entry = entryOf(gateway.settings, id);
  if (entry) return showStaticTenant(id, entry);
  const stored = await database.use((db) => tenantById(db, id));
  return stored && showTenant(stored);
}

/** Fails where there is no tenant of this id. */
export async function requireTenant(call: Pick<AnyCall, "database" | "gateway" | "params">): Promise<string> {
  const id = call.params.tenant ?? "";
  if (!(await readTenant(call, id))) throw new ApiError("not_found");
  return id;
}
