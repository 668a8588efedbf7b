import { type FieldProblem, invalidFields } from "./errors.ts";

export type JsonObject = { readonly [name: string]: unknown };

interface Kinds {
  string: string;
  integer: number;
  number: number;
  boolean: boolean;
  array: readonly unknown[];
  object: JsonObject;
  any: unknown;
}

export type Kind = keyof Kinds;
export type FieldKinds = Readonly<Record<string, Kind>>;
/** Fields that the client gave; null and absent are both undefined. */
export type Fields<Spec extends FieldKinds> = {
  readonly [Name in keyof Spec]: Kinds[Spec[Name]] | undefined;
};

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Reading = { readonly value: unknown } | Omit<FieldProblem, "loc" | "input">;

const TRUE = new Set(["true", "1", "yes", "on", "t", "y"]);
const FALSE = new Set(["false", "0", "no", "off", "f", "n"]);

function readInteger(value: unknown): Reading {
  if (typeof value === "number") {
    if (Number.isInteger(value)) return { value };
    return {
      type: "int_from_float",
      msg: "Input should be a valid integer, got a number with a fractional part",
    };
  }
  if (typeof value === "boolean") return { value: Number(value) };
  if (typeof value !== "string") return { type: "int_type", msg: "Input should be a valid integer" };
  if (/^\s*[+-]?\d{1,15}\s*$/.test(value)) return { value: Number(value) };
  return {
    type: "int_parsing",
    msg: "Input should be a valid integer, unable to parse string as an integer",
  };
}

function readNumber(value: unknown): Reading {
  if (typeof value === "number") return { value };
  if (typeof value === "boolean") return { value: Number(value) };
  if (typeof value !== "string") return { type: "float_type", msg: "Input should be a valid number" };
  if (value.trim() !== "" && Number.isFinite(Number(value))) return { value: Number(value) };
  return { type: "float_parsing", msg: "Input should be a valid number, unable to parse string as a number" };
}

function readBoolean(value: unknown): Reading {
  if (typeof value === "boolean") return { value };
  const text = String(value).toLowerCase();
  if (TRUE.has(text)) return { value: true };
  if (FALSE.has(text)) return { value: false };
  if (typeof value !== "string") return { type: "bool_type", msg: "Input should be a valid boolean" };
  return { type: "bool_parsing", msg: "Input should be a valid boolean, unable to interpret input" };
}

// As lenient as vLLM: a number or a boolean may come as a string.
const READERS: { readonly [Name in Kind]: (value: unknown) => Reading } = {
  string: (value) =>
    typeof value === "string" ? { value } : { type: "string_type", msg: "Input should be a valid string" },
  integer: readInteger,
  number: readNumber,
  boolean: readBoolean,
  array: (value) =>
    Array.isArray(value) ? { value } : { type: "list_type", msg: "Input should be a valid list" },
  object: (value) =>
    isObject(value) ? { value } : { type: "dict_type", msg: "Input should be a valid dictionary" },
  any: (value) => ({ value }),
};

export interface ReadOptions {
  /** Path of the object, such as "body". */
  readonly loc: string;
  readonly required?: readonly string[];
}

/** Reads the fields of an object, unknown ones aside; adds to `problems` what is wrong. */
export function collectFields<const Spec extends FieldKinds>(
  input: JsonObject,
  spec: Spec,
  options: ReadOptions & { readonly problems: FieldProblem[] },
): Fields<Spec> {
  const fields: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(spec)) {
    const raw = input[name];
    const loc = `${options.loc}.${name}`;
    if (raw === undefined || raw === null) {
      if (!options.required?.includes(name)) continue;
      options.problems.push({ type: "missing", loc, msg: "Field required", input });
      continue;
    }
    const reading = READERS[kind](raw);
    if ("value" in reading) fields[name] = reading.value;
    else options.problems.push({ ...reading, loc, input: raw });
  }
  return fields as Fields<Spec>;
}

/** Reads the fields of a body; throws what vLLM answers to a body with the wrong shape. */
export function readFields<const Spec extends FieldKinds>(
  body: unknown,
  spec: Spec,
  options: ReadOptions = { loc: "body" },
): Fields<Spec> {
  if (!isObject(body)) {
    const msg = "Input should be a valid dictionary or object to extract fields from";
    throw invalidFields([{ type: "model_attributes_type", loc: options.loc, msg, input: body }]);
  }
  const problems: FieldProblem[] = [];
  const fields = collectFields(body, spec, { ...options, problems });
  if (problems.length > 0) throw invalidFields(problems);
  return fields;
}
