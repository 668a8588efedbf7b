import type { Migration } from "kysely/migration";
import { up as tenants } from "./010-tenants.ts";
import { up as audit } from "./011-audit.ts";
import { up as usage } from "./020-usage.ts";
import { batches } from "./060-batches.ts";
import { up as accessLog } from "./090-access-log.ts";

/**
 * All migrations by name, in the order of their names. Both colors share the database, so each of them only expands:
 * it adds tables, columns with defaults, indexes and views, and takes nothing away that the release before it reads.
 */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "010-tenants": { up: tenants },
  "011-audit": { up: audit },
  "020-usage": { up: usage },
  "060-batches": batches,
  "090-access-log": { up: accessLog },
};
