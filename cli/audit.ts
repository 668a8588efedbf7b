import { Admin, readAsked, show, table } from "./admin.ts";

const FILTERS = ["tenant", "key", "action", "status", "from", "to", "limit", "after"];
const text = { type: "string" } as const;

/** `npm run platform -- audit list`: who did what, and who was refused. */
export async function audit(args: string[]): Promise<void> {
  const asked = readAsked(args, ["list"], Object.fromEntries(FILTERS.map((name) => [name, text])));
  const query = new URLSearchParams();
  for (const name of FILTERS) {
    const value = asked.text(name);
    if (value !== undefined) query.set(name, value);
  }
  const page = await (await Admin.open()).ask("GET", `/audit?${query}`);
  const entries = page.data as Record<string, unknown>[];
  const rows = entries.map(({ at, status, tenant, key, action, target, count }) => {
    return [at, status, tenant, key, action, target, count];
  });
  const more = page.next === null ? "" : `\nOlder ones: --after ${page.next}`;
  show(asked, page, () => table(["at", "status", "tenant", "key", "action", "about", "times"], rows) + more);
}
