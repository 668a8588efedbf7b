// Not the whole SDK: that takes five times as long to load.
import * as rpc from "@pulumi/pulumi/runtime/rpc.js";

/** A property bag as the engine sends it: JSON with secrets, output values and unknowns marked inside. */
export type Properties = Record<string, unknown>;

type Visit = (value: unknown, isSecret: boolean) => unknown;

export function isProperties(value: unknown): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isUnknown(value: unknown): boolean {
  return value === rpc.unknownValue;
}

/** Marks a value as secret, so that the engine encrypts it in the state and hides it on the screen. */
export function secret(value: unknown): Properties {
  return { [rpc.specialSigKey]: rpc.specialSecretSig, value };
}

/** The same bag with its secrets still marked, output values reduced to what they hold, and nulls left out. */
export function normalise(bag: Properties): Properties {
  const walk = (value: unknown): unknown =>
    visit(value, (inner, isSecret) => (isSecret ? secret(plainValue(inner)) : mapChildren(inner, walk)));
  return asBag(walk(bag));
}

/** The same bag with secrets opened: for use and comparison inside the provider, never for an output or a message. */
export function plain(bag: Properties): Properties {
  return asBag(plainValue(bag));
}

/** Whether any value in it is known only after the deployment of something else. */
export function hasUnknown(value: unknown): boolean {
  const open = plainValue(value);
  if (isUnknown(open)) return true;
  if (Array.isArray(open)) return open.some(hasUnknown);
  return isProperties(open) && Object.values(open).some(hasUnknown);
}

/** Every text inside a secret, at any depth. */
export function secretTexts(value: unknown): string[] {
  const found: string[] = [];
  const walk = (current: unknown): unknown =>
    visit(current, (inner, isSecret) => {
      if (isSecret) found.push(...texts(plainValue(inner)));
      else mapChildren(inner, walk);
      return inner;
    });
  walk(value);
  return found;
}

function plainValue(value: unknown): unknown {
  return visit(value, (inner) => mapChildren(inner, plainValue));
}

/** Takes one marker off a value, secret or output value, as often as there is one, then hands it to `use`. */
function visit(value: unknown, use: Visit): unknown {
  let inner = value;
  let isSecret = false;
  while (isProperties(inner)) {
    const signature = inner[rpc.specialSigKey];
    if (signature === rpc.specialSecretSig) isSecret = true;
    else if (signature === rpc.specialOutputValueSig) isSecret ||= inner.secret === true;
    else break;
    inner = "value" in inner ? inner.value : rpc.unknownValue;
  }
  return use(inner, isSecret);
}

function mapChildren(value: unknown, map: (child: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(map);
  if (!isProperties(value)) return value;
  const present = Object.entries(value).filter(([, child]) => child !== null && child !== undefined);
  return Object.fromEntries(present.map(([key, child]) => [key, map(child)]));
}

function texts(value: unknown): string[] {
  if (typeof value === "string") return value === "" || isUnknown(value) ? [] : [value];
  if (Array.isArray(value)) return value.flatMap(texts);
  return isProperties(value) ? Object.values(value).flatMap(texts) : [];
}

function asBag(value: unknown): Properties {
  if (!isProperties(value)) throw new Error("the properties of a resource must be an object");
  return value;
}
