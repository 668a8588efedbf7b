import { ApiError, badRequest } from "./errors.ts";
import { isObject, type JsonObject } from "./fields.ts";
import { phrase } from "./language.ts";
import { type Random, randomFrom } from "./random.ts";

// Deeper than this an instance takes the shortest way out: no optional property, no optional item, the plainest branch.
const RELAXED_DEPTH = 4;
const MAX_DEPTH = 64;
const USUAL_SPAN = 100;

// A few bytes of schema can ask for gigabytes: an instance costs its characters and what is looked at to write it.
const MAX_WORK = 128 * 1024;
const WORK_PER_VALUE = 8;

// Assertions that the generator does not know; ignoring one would give an instance that breaks it.
const UNSUPPORTED = [
  "pattern",
  "not",
  "if",
  "patternProperties",
  "propertyNames",
  "contains",
  "dependentRequired",
  "dependentSchemas",
  "minProperties",
  "maxProperties",
  "unevaluatedItems",
  "unevaluatedProperties",
];

const TYPES = ["object", "array", "string", "integer", "number", "boolean", "null"] as const;
type TypeName = (typeof TYPES)[number];

/** What is left of the work that one instance may cost. */
interface Budget {
  left: number;
}

interface Walk {
  readonly root: JsonObject;
  readonly random: Random;
  readonly depth: number;
  readonly budget: Budget;
  /** Whether everything optional is left out, at any depth. */
  readonly frugal: boolean;
}

class TooLarge extends Error {}

function spend({ budget }: Walk, work: number) {
  budget.left -= work;
  if (budget.left < 0) throw new TooLarge();
}

function isRelaxed({ frugal, depth }: Walk): boolean {
  return frugal || depth >= RELAXED_DEPTH;
}

function grammarError(detail: string) {
  return badRequest(`Grammar error: ${detail}`);
}

function typeName(value: unknown): TypeName {
  const known = TYPES.find((name) => name === value);
  if (known === undefined) throw grammarError(`Invalid type: ${String(value)}`);
  return known;
}

function subschemas(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function number(schema: JsonObject, name: string): number | undefined {
  const value = schema[name];
  return typeof value === "number" ? value : undefined;
}

function resolve(reference: string, walk: Walk): JsonObject {
  spend(walk, reference.length);
  if (reference !== "#" && !reference.startsWith("#/"))
    throw grammarError(`Unsupported reference: ${reference}`);
  let target: unknown = walk.root;
  for (const step of reference.split("/").slice(1)) {
    const key = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
    target = isObject(target) && Object.hasOwn(target, key) ? target[key] : undefined;
  }
  if (!isObject(target)) throw grammarError(`Unknown reference: ${reference}`);
  return target;
}

function merged(schema: JsonObject, parts: readonly JsonObject[], walk: Walk): JsonObject {
  const all = [schema, ...parts];
  const properties = all.map((part) => part.properties).filter(isObject);
  const required = all.map((part) => part.required).filter(Array.isArray);
  for (const part of [...all, ...properties]) spend(walk, Object.keys(part).length);
  for (const names of required) spend(walk, names.length);
  return {
    ...joined(all),
    ...(properties.length > 0 && { properties: joined(properties) }),
    ...(required.length > 0 && { required: required.flat() }),
  };
}

function joined(objects: readonly JsonObject[]): JsonObject {
  return Object.fromEntries(objects.flatMap((object) => Object.entries(object)));
}

function objectOf(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isLeaf(schema: JsonObject): boolean {
  const type = schema.type;
  return schema.$ref === undefined && type !== "object" && type !== "array";
}

function choose(branches: readonly JsonObject[], walk: Walk): JsonObject {
  const leaf = isRelaxed(walk) ? branches.find(isLeaf) : undefined;
  return leaf ?? branches[Math.floor(walk.random() * branches.length)] ?? {};
}

function shapeOf(schema: JsonObject): TypeName {
  const type = schema.type;
  if (Array.isArray(type)) return typeName(type.find((name) => name !== "null") ?? type[0]);
  if (type !== undefined) return typeName(type);
  if (schema.properties !== undefined || schema.required !== undefined) return "object";
  if (schema.items !== undefined || schema.prefixItems !== undefined) return "array";
  if (number(schema, "minimum") !== undefined || number(schema, "maximum") !== undefined) return "number";
  return "string";
}

function objectInstance(schema: JsonObject, walk: Walk): JsonObject {
  const properties = objectOf(schema.properties);
  const required = new Set(listOf(schema.required).filter((name) => typeof name === "string"));
  const names = [...new Set([...Object.keys(properties), ...required])];
  spend(walk, names.length);
  const wanted = names.filter((name) => required.has(name) || !isRelaxed(walk));
  for (const name of wanted) spend(walk, name.length);
  return Object.fromEntries(wanted.map((name) => [name, instance(objectOf(properties[name]), walk)]));
}

function arrayInstance(schema: JsonObject, walk: Walk): unknown[] {
  const prefix = subschemas(schema.prefixItems);
  const least = number(schema, "minItems") ?? 0;
  const usual = isRelaxed(walk) ? least : Math.max(least, prefix.length, 2);
  const length = Math.min(usual, number(schema, "maxItems") ?? usual);
  if (length < least) throw grammarError("minItems is greater than maxItems");
  if (length * WORK_PER_VALUE > walk.budget.left) throw new TooLarge();
  const rest = objectOf(schema.items);
  const items = Array.from({ length }, (_, index) => instance(prefix[index] ?? rest, walk));
  if (schema.uniqueItems !== true) return items;
  const unique = [...new Map(items.map((item) => [textOf(item, walk), item])).values()];
  if (unique.length < least) throw grammarError("uniqueItems cannot be met");
  return unique;
}

function numberInstance(schema: JsonObject, walk: Walk, whole: boolean): number {
  const step = number(schema, "multipleOf") ?? (whole ? 1 : 0.5);
  const above = number(schema, "exclusiveMinimum");
  const below = number(schema, "exclusiveMaximum");
  const least = Math.max(
    number(schema, "minimum") ?? Number.NEGATIVE_INFINITY,
    above ?? Number.NEGATIVE_INFINITY,
  );
  const most = Math.min(
    number(schema, "maximum") ?? Number.POSITIVE_INFINITY,
    below ?? Number.POSITIVE_INFINITY,
  );
  const from = Number.isFinite(least)
    ? least
    : Math.min(0, Number.isFinite(most) ? most - USUAL_SPAN * step : 0);
  const to = Number.isFinite(most) ? most : from + USUAL_SPAN * step;
  let first = Math.ceil(from / step);
  if (first * step === above) first += 1;
  let last = Math.floor(to / step);
  if (last * step === below) last -= 1;
  if (first <= last) return (first + Math.floor(walk.random() * (last - first + 1))) * step;
  const between = (from + to) / 2;
  if (whole || schema.multipleOf !== undefined || from > to || between === above) {
    throw grammarError("no number meets the limits");
  }
  return between;
}

const FORMATS: Readonly<Record<string, string>> = {
  "date-time": "2024-05-17T09:30:00Z",
  date: "2024-05-17",
  time: "09:30:00Z",
  duration: "PT30M",
  email: "reader@example.com",
  hostname: "www.example.com",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uri: "https://example.com/page",
  uuid: "3f2a6c1e-8d4b-4c7a-9e5f-1b2c3d4e5f60",
};

function stringInstance(schema: JsonObject, walk: Walk): string {
  const format = schema.format;
  if (typeof format === "string" && Object.hasOwn(FORMATS, format)) return FORMATS[format] ?? "";
  const least = number(schema, "minLength") ?? 0;
  const most = number(schema, "maxLength") ?? Number.POSITIVE_INFINITY;
  if (least > most) throw grammarError("minLength is greater than maxLength");
  spend(walk, least);
  let text = phrase(walk.random);
  while (text.length < least) text += ` ${phrase(walk.random)}`;
  return text.slice(0, Math.max(least, Math.min(most, text.length)));
}

function textOf(value: unknown, walk: Walk): string {
  const text = JSON.stringify(value);
  spend(walk, text.length);
  return text;
}

function given<Value>(value: Value, walk: Walk): Value {
  textOf(value, walk);
  return value;
}

const COMBINATIONS = ["$ref", "anyOf", "oneOf", "allOf"];

function combined(schema: JsonObject, walk: Walk): unknown {
  const { $ref, anyOf, oneOf, allOf, ...own } = schema;
  for (const list of [anyOf, oneOf, allOf]) spend(walk, listOf(list).length);
  if (typeof $ref === "string") return instance(merged(own, [resolve($ref, walk)], walk), walk);
  const branches = [...subschemas(anyOf), ...subschemas(oneOf)];
  if (branches.length > 0) return instance(merged(own, [choose(branches, walk)], walk), walk);
  return instance(merged(own, subschemas(allOf), walk), walk);
}

function instance(schema: JsonObject, outer: Walk): unknown {
  const walk = { ...outer, depth: outer.depth + 1 };
  if (walk.depth > MAX_DEPTH) throw grammarError("the schema never ends");
  spend(walk, WORK_PER_VALUE + listOf(schema.type).length + listOf(schema.prefixItems).length);
  const unsupported = UNSUPPORTED.find((name) => schema[name] !== undefined);
  if (unsupported !== undefined) throw grammarError(`Unsupported keyword: ${unsupported}`);
  if (schema.const !== undefined) return given(schema.const, walk);
  const options = listOf(schema.enum);
  if (options.length > 0) return given(options[Math.floor(walk.random() * options.length)], walk);
  if (COMBINATIONS.some((name) => schema[name] !== undefined)) return combined(schema, walk);
  const shape = shapeOf(schema);
  if (shape === "object") return objectInstance(schema, walk);
  if (shape === "array") return arrayInstance(schema, walk);
  if (shape === "string") return stringInstance(schema, walk);
  if (shape === "boolean") return walk.random() < 0.5;
  if (shape === "null") return null;
  return numberInstance(schema, walk, shape === "integer");
}

function instanceWithin(schema: JsonObject, random: Random, frugal: boolean): unknown {
  return instance(schema, { root: schema, random, depth: 0, budget: { left: MAX_WORK }, frugal });
}

/** A value that the JSON schema accepts. Throws a 400 for a schema that is broken, endless or beyond the generator. */
export function instanceOf(schema: unknown, random: Random): unknown {
  if (schema === undefined || schema === true) return {};
  if (!isObject(schema)) throw grammarError(`Invalid schema: ${JSON.stringify(schema)}`);
  for (const frugal of [false, true]) {
    try {
      return instanceWithin(schema, random, frugal);
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
    }
  }
  throw grammarError("the smallest instance of the schema is too large");
}

/**
 * Writes instances of the schema as JSON text. Throws a 400 where there is none; what is returned never throws, since
 * a generation that has its slot cannot be refused any more.
 */
export function instanceWriter(schema: unknown): (random: Random) => string {
  const write = (random: Random) => JSON.stringify(instanceOf(schema, random));
  let first: string;
  try {
    first = write(randomFrom(0));
  } catch (error) {
    throw error instanceof ApiError ? error : grammarError("Invalid schema");
  }
  return (random) => {
    try {
      return write(random);
    } catch {
      // Another branch than the first one may turn out to be broken.
      return first;
    }
  };
}
