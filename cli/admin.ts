import { type ParseArgsConfig, parseArgs } from "node:util";
import { PATHS } from "../services/gateway/contract.ts";
import { UserError } from "./errors.ts";
import { openStates, outputsOf } from "./platform.ts";
import { exists } from "./state-folder.ts";
import { tell } from "./tell.ts";

const TIMEOUT_MS = 10_000;
const PAGE = 100;
/** What a table of keys may grow to before it is no table any more. */
const MAX_PAGES = 50;

type Json = Record<string, unknown>;

/** The admin API of this machine's environment, with its operators' key. */
export class Admin {
  readonly #url: string;
  readonly #key: string;

  private constructor(url: string, key: string) {
    this.#url = url + PATHS.admin;
    this.#key = key;
  }

  static async open(): Promise<Admin> {
    const { url, adminKey } = exists() ? await outputsOf(openStates().local) : {};
    if (typeof url === "string" && typeof adminKey === "string") return new Admin(url, adminKey);
    throw new UserError("there is no gateway with an operators' key yet.\nremedy: run `npm start` first.");
  }

  async ask(method: "GET" | "POST" | "PATCH", path: string, body?: Json): Promise<Json> {
    const response = await this.#fetch(method, path, body);
    const answer = (await response.json().catch(() => ({}))) as Json & { error?: { message?: string } };
    if (response.ok) return answer;
    const problem = answer.error?.message ?? `the gateway answered with status ${response.status}`;
    throw new UserError(`${problem}\nremedy: ${remedyOf(response.status)}.`);
  }

  /** All entries of a list. */
  async all(path: string): Promise<Json[]> {
    const entries: Json[] = [];
    let after = "";
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { data, next } = await this.ask("GET", `${path}?limit=${PAGE}${after}`);
      entries.push(...(data as Json[]));
      if (typeof next !== "string") break;
      after = `&after=${encodeURIComponent(next)}`;
    }
    return entries;
  }

  async #fetch(method: string, path: string, body?: Json): Promise<Response> {
    try {
      return await fetch(this.#url + path, {
        method,
        headers: { authorization: `Bearer ${this.#key}`, "content-type": "application/json" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    } catch {
      throw new UserError(
        `the gateway at ${this.#url} does not answer.\nremedy: run \`npm start\`, which heals it.`,
      );
    }
  }
}

function remedyOf(status: number): string {
  if (status === 404) return "list what there is, and check the ids";
  if (status === 409) return "look at it again with `show`, then repeat what is still wanted";
  if (status === 401 || status === 403) return "run `npm start`, which gives the gateways the operators' key";
  return status >= 500 ? "look at `npm run status`, and try again" : "correct it and repeat the command";
}

type Options = NonNullable<ParseArgsConfig["options"]>;

/** What a command line asks for. */
export interface Asked {
  readonly action: string;
  /** The id after the action; empty where none was given. */
  readonly id: string;
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  text(name: string): string | undefined;
}

/** Reads `<action> [id] [options]`. @throws UserError for what the command does not have */
export function readAsked(args: string[], actions: readonly string[], options: Options): Asked {
  const known = { json: { type: "boolean" }, ...options } as const;
  const [action = "", ...rest] = args;
  if (!actions.includes(action)) {
    const problem = action === "" ? "no action is given" : `"${action}" is no action`;
    throw new UserError(`${problem}.\nremedy: use ${actions.join(", ")}.`);
  }
  try {
    const { values, positionals } = parseArgs({ args: rest, options: known, allowPositionals: true });
    const [id = "", ...more] = positionals;
    if (more.length > 0) throw new Error(`"${more[0]}" is one id too many`);
    const given = values as Asked["values"];
    const text = (name: string) => (typeof given[name] === "string" ? given[name] : undefined);
    return { action, id, values: given, text };
  } catch (error) {
    const names = Object.keys(known).map((name) => `--${name}`);
    throw new UserError(`${(error as Error).message}.\nremedy: use ${names.join(", ")}, after \`--\`.`);
  }
}

/** @throws UserError where it was not given */
export function required(value: string | undefined, name: string): string {
  if (value) return encodeURIComponent(value);
  throw new UserError(`${name} is missing.\nremedy: add it; \`list\` shows what there is.`);
}

/**
 * The bounds that were given: numbers, null for `none`, which lifts a bound, undefined for `default`, the tier's own.
 * Undefined where none was given.
 * @throws UserError for anything else
 */
export function bounds(asked: Asked, names: Readonly<Record<string, string>>): Json | undefined {
  const given = Object.entries(names).flatMap(([option, field]) => {
    const text = asked.text(option);
    return text === undefined ? [] : [[field, toBound(option, text)] as const];
  });
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

function toBound(option: string, text: string): number | null | undefined {
  if (text === "none") return null;
  if (text === "default") return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const remedy = 'give one, "none" for no bound, or "default" for that of the tier';
  throw new UserError(`--${option} is no number.\nremedy: ${remedy}.`);
}

/** The fields that have a value. */
export function present(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Prints for scripts or for people. */
export function show(asked: Asked, answer: unknown, text: () => string): void {
  tell(asked.values.json ? JSON.stringify(answer, null, 2) : text());
}

/** Rows under their titles, each column as wide as its widest entry. */
export function table(titles: readonly string[], rows: readonly (readonly unknown[])[]): string {
  if (rows.length === 0) return "There are none.";
  const lines = [titles, ...rows].map((row) => row.map((value) => (value === null ? "-" : String(value))));
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const pad = (line: string[]) => line.map((text, column) => text.padEnd(widths[column] ?? 0)).join("  ");
  return lines.map((line) => pad(line).trimEnd()).join("\n");
}
