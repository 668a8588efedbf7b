import { Admin, type Asked, bounds, present, readAsked, required, show, table } from "./admin.ts";

const ACTIONS = ["list", "show", "create", "update", "disable", "enable"];
export const LIMITS = {
  "requests-per-minute": "requestsPerMinute",
  "tokens-per-minute": "tokensPerMinute",
  concurrency: "concurrency",
};
const BUDGET = { "hourly-usd": "hourlyUsd", "daily-usd": "dailyUsd" };
const text = { type: "string" } as const;

/** `npm run platform -- tenants …`: who may use the platform, and how much of it. */
export async function tenants(args: string[]): Promise<void> {
  const options = { name: text, tier: text, region: text, sensitivity: text };
  const numbers = Object.fromEntries(
    [...Object.keys(LIMITS), ...Object.keys(BUDGET)].map((name) => [name, text]),
  );
  const asked = readAsked(args, ACTIONS, { ...options, ...numbers });
  const admin = await Admin.open();
  if (asked.action === "list") return list(asked, admin);
  const id = required(asked.id, "the tenant's id");
  const answer =
    asked.action === "create"
      ? await admin.ask("POST", "/tenants", { id: asked.id, ...fieldsOf(asked) })
      : await read(asked, admin, `/tenants/${id}`);
  show(asked, answer, () => JSON.stringify(answer, null, 2));
}

async function read(asked: Asked, admin: Admin, path: string) {
  const tenant = await admin.ask("GET", path);
  if (asked.action === "show") return tenant;
  const changes =
    asked.action === "update" ? merged(asked, tenant) : { disabled: asked.action === "disable" };
  return admin.ask("PATCH", path, { version: tenant.version, ...changes });
}

function fieldsOf(asked: Asked) {
  const { name, tier, sensitivity } = asked.values;
  const region = asked.text("region");
  const fields = { name, tier, sensitivity, region: region === "none" ? null : region };
  return present({ ...fields, limits: bounds(asked, LIMITS), budget: bounds(asked, BUDGET) });
}

/** Limits and budget are replaced whole: what is not given stays as it is. */
function merged(asked: Asked, tenant: Record<string, unknown>) {
  const fields = fieldsOf(asked);
  for (const name of ["limits", "budget"]) {
    if (fields[name]) fields[name] = { ...(tenant[name] as object), ...(fields[name] as object) };
  }
  return fields;
}

async function list(asked: Asked, admin: Admin): Promise<void> {
  const all = await admin.all("/tenants");
  show(asked, all, () =>
    table(
      ["tenant", "tier", "sensitivity", "region", "state", "from", "name"],
      all.map(({ id, tier, sensitivity, region, disabled, source, name }) => {
        return [id, tier, sensitivity, region, disabled ? "disabled" : "active", source, name];
      }),
    ),
  );
}
