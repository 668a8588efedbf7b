import { ApiError } from "../api/errors.ts";
import { createKey as createSecret } from "../tenancy/api-key.ts";
import { DEFAULT_PERMISSIONS } from "../tenancy/principal.ts";
import { inherited, requireNoMore } from "./granting.ts";
import { keyById, listKeys, projectById } from "./reads.ts";
import { type AdminCall, adminRoute } from "./route.ts";
import * as schemas from "./schemas.ts";
import { showKey, showPage } from "./shapes.ts";
import type { StoredKey } from "./stored.ts";
import { requireTenant } from "./tenants.ts";
import { createKey, revokeKey, rotateKey } from "./writes.ts";

const KEYS = "/tenants/{tenant}/keys";
const DEFAULT_PROJECT = "default";

type AnyCall = AdminCall<unknown, unknown>;

const list = adminRoute({
  method: "get",
  path: KEYS,
  operationId: "listKeys",
  summary: "Lists a tenant's keys, also those that ended.",
  action: "read",
  resource: "keys",
  query: schemas.pageQuery,
  response: schemas.listOf("KeyList", schemas.keyObject),
  async handle(call) {
    const { after = "", limit } = call.query;
    const tenant = await requireTenant(call);
    const stored = await call.database.use((db) => listKeys(db, tenant, { after, limit: limit + 1 }));
    return showPage(stored, limit, showKey);
  },
});

const create = adminRoute({
  method: "post",
  path: KEYS,
  operationId: "createKey",
  summary: "Makes a key, which is shown this once.",
  action: "write",
  resource: "keys",
  body: schemas.createKeyRequest,
  response: schemas.freshKeyObject,
  status: 201,
  async handle(call) {
    const { principal, body } = call;
    const { name, project, permissions = DEFAULT_PERMISSIONS, operator } = body;
    const own = inherited(principal, body);
    const expires_at = timeOf(body.expiresAt, own.expires_at);
    const fields = { ...own, name, project, permissions, operator, expires_at };
    requireNoMore(principal, fields);
    const tenant = await requireTenant(call);
    await requireProject(call, tenant, project);
    const fresh = createSecret();
    call.about(`${tenant}/${fresh.id}`);
    const createdBy = principal.keyId;
    const stored = await call.database.use((db) => createKey(db, fresh, { ...fields, tenant, createdBy }));
    return { ...showKey(there(stored)), secret: fresh.secret };
  },
});

const retrieve = adminRoute({
  method: "get",
  path: `${KEYS}/{key}`,
  operationId: "retrieveKey",
  summary: "Answers with a key, never with its secret.",
  action: "read",
  resource: "keys",
  response: schemas.keyObject,
  handle: async (call) => showKey(await readKey(call)),
});

const rotate = adminRoute({
  method: "post",
  path: `${KEYS}/{key}/rotate`,
  operationId: "rotateKey",
  summary: "Makes a successor of a key, which itself goes on working for a while.",
  action: "write",
  resource: "keys",
  body: schemas.rotateKeyRequest,
  response: schemas.freshKeyObject,
  status: 201,
  errors: ["conflict"],
  async handle(call) {
    const { principal, database, gateway, body } = call;
    const old = await readKey(call);
    const expiresAt = timeOf(body.expiresAt, old.expires_at);
    // Whoever is given the successor's secret can do what it can.
    requireNoMore(principal, { ...old, expires_at: expiresAt });
    const fresh = createSecret();
    const until = new Date(Date.now() + body.overlapSeconds * 1000);
    const rotation = { tenant: old.tenant, id: old.id, until, expiresAt, createdBy: principal.keyId };
    const successor = await database.use((db) => rotateKey(db, fresh, rotation));
    if (!successor) {
      throw new ApiError("conflict", { message: "The key has ended, or was rotated before." });
    }
    await gateway.directory.catchUp();
    return { ...showKey(successor), secret: fresh.secret };
  },
});

const revoke = adminRoute({
  method: "post",
  path: `${KEYS}/{key}/revoke`,
  operationId: "revokeKey",
  summary: "Ends a key everywhere within a second.",
  action: "write",
  resource: "keys",
  response: schemas.keyObject,
  async handle({ database, gateway, params: { tenant = "", key = "" } }) {
    const revoked = there(await database.use((db) => revokeKey(db, tenant, key)));
    const { directory, settings } = gateway;
    await directory.revocations.revokeKey({ tenant, keyId: key }, settings.auth.staleSeconds);
    await directory.catchUp();
    return showKey(revoked);
  },
});

export const KEY_ROUTES = [list, create, retrieve, rotate, revoke];

async function readKey({ database, params: { tenant = "", key = "" } }: AnyCall): Promise<StoredKey> {
  return there(await database.use((db) => keyById(db, tenant, key)));
}

function there(key: StoredKey | undefined): StoredKey {
  if (!key) throw new ApiError("not_found");
  return key;
}

async function requireProject({ database }: AnyCall, tenant: string, project: string): Promise<void> {
  if (project === DEFAULT_PROJECT) return;
  const stored = await database.use((db) => projectById(db, tenant, project));
  if (stored && !stored.disabled_at) return;
  const message = `'project' is none of this tenant's that is in use.`;
  throw new ApiError("invalid_request", { message, param: "project" });
}

/** A time that is asked for, null for never; undefined leaves it to what else holds. */
function timeOf(asked: string | null | undefined, otherwise: Date | null): Date | null {
  if (asked === undefined) return otherwise;
  if (asked === null) return null;
  const time = new Date(asked);
  if (time.getTime() > Date.now()) return time;
  throw new ApiError("invalid_request", { message: "'expiresAt' is over.", param: "expiresAt" });
}
