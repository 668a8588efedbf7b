import { Admin, present, readAsked, required, show, table } from "./admin.ts";

const ACTIONS = ["list", "show", "create", "update", "disable", "enable"];
const text = { type: "string" } as const;

/** `npm run platform -- projects …`: the parts of a tenant that costs are told apart by. */
export async function projects(args: string[]): Promise<void> {
  const asked = readAsked(args, ACTIONS, { tenant: text, name: text });
  const base = `/tenants/${required(asked.text("tenant"), "--tenant")}/projects`;
  const admin = await Admin.open();
  if (asked.action === "list") {
    const all = await admin.all(base);
    const rows = all.map(({ id, disabled, name }) => [id, disabled ? "disabled" : "active", name]);
    show(asked, all, () => table(["project", "state", "name"], rows));
    return;
  }
  const path = `${base}/${required(asked.id, "the project's id")}`;
  const { name } = asked.values;
  if (asked.action === "create") {
    const made = await admin.ask("POST", base, present({ id: asked.id, name }));
    show(asked, made, () => JSON.stringify(made, null, 2));
    return;
  }
  const project = await admin.ask("GET", path);
  const changes = asked.action === "update" ? present({ name }) : { disabled: asked.action === "disable" };
  const body = { version: project.version, ...changes };
  const answer = asked.action === "show" ? project : await admin.ask("PATCH", path, body);
  show(asked, answer, () => JSON.stringify(answer, null, 2));
}
