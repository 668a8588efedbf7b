import { Admin, type Asked, bounds, present, readAsked, required, show, table } from "./admin.ts";
import { UserError } from "./errors.ts";
import { LIMITS } from "./tenants.ts";

const ACTIONS = ["list", "show", "create", "rotate", "revoke"];
const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const text = { type: "string" } as const;

/** `npm run platform -- keys …`: what tenants show the gateway. */
export async function keys(args: string[]): Promise<void> {
  const asked = readAsked(args, ACTIONS, {
    ...{ tenant: text, project: text, name: text, permissions: text, models: text },
    ...{ expires: text, overlap: text, operator: { type: "boolean" } },
    ...Object.fromEntries(Object.keys(LIMITS).map((name) => [name, text])),
  });
  const base = `/tenants/${required(asked.text("tenant"), "--tenant")}/keys`;
  const admin = await Admin.open();
  if (asked.action === "list") return list(asked, admin, base);
  if (asked.action === "create") return showFresh(asked, await admin.ask("POST", base, wanted(asked)));
  const path = `${base}/${required(asked.id, "the key's id")}`;
  if (asked.action === "rotate")
    return showFresh(asked, await admin.ask("POST", `${path}/rotate`, rotation(asked)));
  const answer =
    asked.action === "revoke" ? await admin.ask("POST", `${path}/revoke`) : await admin.ask("GET", path);
  show(asked, answer, () => JSON.stringify(answer, null, 2));
}

function wanted(asked: Asked) {
  const { project, name, operator } = asked.values;
  const lists = { permissions: listOf(asked.text("permissions")), models: listOf(asked.text("models")) };
  return present({
    project,
    name,
    operator,
    ...lists,
    expiresAt: endOf(asked),
    limits: bounds(asked, LIMITS),
  });
}

function rotation(asked: Asked) {
  const overlap = asked.text("overlap");
  return present({
    overlapSeconds: overlap === undefined ? undefined : secondsOf(overlap, "overlap"),
    expiresAt: endOf(asked),
  });
}

function listOf(given: string | undefined): string[] | undefined {
  return given?.split(",").filter((entry) => entry !== "");
}

/** `90d` from now on, a time, or `never`. */
function endOf(asked: Asked): string | null | undefined {
  const given = asked.text("expires");
  if (given === undefined) return undefined;
  if (given === "never") return null;
  const time = Date.parse(given);
  if (/^\d{4}-/.test(given) && !Number.isNaN(time)) return new Date(time).toISOString();
  return new Date(Date.now() + secondsOf(given, "expires") * 1000).toISOString();
}

function secondsOf(given: string, name: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(given) ?? [];
  if (count !== undefined) return Number(count) * SECONDS[unit as keyof typeof SECONDS];
  throw new UserError(`--${name} is no time.\nremedy: give one such as 90d, 24h, 30m or 60s.`);
}

function showFresh(asked: Asked, key: Record<string, unknown>): void {
  show(asked, key, () => `${key.id}\n${key.secret}\nThe key is shown this once: keep it where it is safe.`);
}

async function list(asked: Asked, admin: Admin, base: string): Promise<void> {
  const all = await admin.all(base);
  show(asked, all, () =>
    table(
      ["key", "ends in", "project", "state", "expires", "last used", "name"],
      all.map(({ id, hint, project, status, expiresAt, lastUsedAt, name }) => {
        return [id, hint, project, status, expiresAt, lastUsedAt, name];
      }),
    ),
  );
}
