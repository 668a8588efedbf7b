import type { Action, Principal, Resource } from "./principal.ts";

const ANY = "*";

/** What a principal may do, made once for each: requests only look it up. */
class Grants {
  readonly #permissions: ReadonlySet<string>;
  readonly #models: readonly Pattern[] | undefined;

  constructor({ permissions, models }: Principal) {
    this.#permissions = new Set(permissions);
    this.#models = models?.map(toPattern);
  }

  permits(action: Action, resource: Resource): boolean {
    const granted = this.#permissions;
    return (
      granted.has(`${action}:${resource}`) ||
      granted.has(`${ANY}:${resource}`) ||
      granted.has(`${action}:${ANY}`) ||
      granted.has(`${ANY}:${ANY}`)
    );
  }

  permitsModel(name: string): boolean {
    return this.#models === undefined || this.#models.some((pattern) => matches(pattern, name));
  }
}

const known = new WeakMap<Principal, Grants>();

function grantsOf(principal: Principal): Grants {
  let grants = known.get(principal);
  if (!grants) {
    grants = new Grants(principal);
    known.set(principal, grants);
  }
  return grants;
}

/** Whether one of the principal's permissions covers the action. */
export function permits(principal: Principal, action: Action, resource: Resource): boolean {
  return grantsOf(principal).permits(action, resource);
}

/** Whether the principal may use the model of this name, which is the one that the client gives, an alias or not. */
export function permitsModel(principal: Principal, name: string): boolean {
  return grantsOf(principal).permitsModel(name);
}

/** Whether a permission is within what others grant. */
export function coversPermission(granted: readonly string[], permission: string): boolean {
  const [action = "", resource = ""] = permission.split(":");
  return [permission, `${ANY}:${resource}`, `${action}:${ANY}`, `${ANY}:${ANY}`].some((one) =>
    granted.includes(one),
  );
}

/**
 * Whether every model that a pattern names is within what others name. The pattern's own `*` is compared like any other
 * character, which only another pattern's `*` takes in.
 */
export function coversModel(granted: readonly string[] | undefined, pattern: string): boolean {
  return granted === undefined || granted.some((one) => matches(toPattern(one), pattern));
}

/** What stands between the stars of a pattern. */
type Pattern = readonly string[];

function toPattern(text: string): Pattern {
  return text.split(ANY);
}

/** Takes time that grows with both lengths, whatever the pattern: tenants write them. */
function matches([first = "", ...rest]: Pattern, name: string): boolean {
  const last = rest.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last))
    return false;
  const end = name.length - last.length;
  let from = first.length;
  for (const part of rest) {
    const at = name.indexOf(part, from);
    if (at < 0 || at + part.length > end) return false;
    from = at + part.length;
  }
  return true;
}
