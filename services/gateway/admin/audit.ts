import { ApiError } from "../api/errors.ts";
import { readAccesses, type StoredAccess } from "../audit/reads.ts";
import { adminRoute } from "./route.ts";
import * as schemas from "./schemas.ts";

const DAY_MS = 86_400_000;

const list = adminRoute({
  method: "get",
  path: "/audit",
  operationId: "listAccesses",
  summary:
    "Lists what was done and what was refused, inferences too, from the newest on; of the last day by default.",
  action: "read",
  resource: "audit",
  query: schemas.auditQuery,
  response: schemas.listOf("AccessList", schemas.accessObject),
  async handle({ database, principal, query }) {
    const { limit, after, from = new Date(Date.now() - DAY_MS).toISOString(), ...filter } = query;
    if (!principal.operator && filter.tenant !== undefined && filter.tenant !== principal.tenant.id) {
      throw new ApiError("not_found");
    }
    const tenant = principal.operator ? filter.tenant : principal.tenant.id;
    const before = after === undefined ? undefined : readCursor(after);
    const stored = await database.report((db) =>
      readAccesses(db, { ...filter, from, tenant, before, limit: limit + 1 }),
    );
    const page = stored.slice(0, limit);
    const last = page.at(-1);
    const next = stored.length > limit && last ? cursorOf(last) : null;
    return { object: "list", data: page.map(showAccess), next };
  },
});

export const AUDIT_ROUTES = [list];

function showAccess({ at, key_id, request_id, ...access }: StoredAccess) {
  return { object: "access", ...access, at: at.toISOString(), key: key_id, requestId: request_id };
}

function cursorOf({ at, id }: StoredAccess): string {
  return Buffer.from(`${at.getTime()} ${id}`).toString("base64url");
}

function readCursor(cursor: string): { at: Date; id: string } {
  const [, at, id] = /^(\d{1,15}) ([\w-]{1,64})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (at !== undefined && id !== undefined) return { at: new Date(Number(at)), id };
  throw new ApiError("invalid_request", {
    message: "'after' must be the `next` of a page before.",
    param: "after",
  });
}
