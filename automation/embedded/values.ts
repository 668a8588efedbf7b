/** Property values as they travel between the SDK, the providers and the state: plain JSON with marked objects. */

export type Properties = Record<string, unknown>;

// Markers of Pulumi's wire format (sdk/proto in the SDK's documentation of property values).
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Stands for a value that is known only after a resource exists. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export interface Secret {
  [SIGNATURE]: typeof SECRET;
  value?: unknown;
  ciphertext?: string;
}

export function isObject(value: unknown): value is Properties {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

export function isSecret(value: unknown): value is Secret {
  return isObject(value) && value[SIGNATURE] === SECRET;
}

export function secret(value: unknown): Secret {
  return isSecret(value) ? value : { [SIGNATURE]: SECRET, value };
}

/** The state's form of a secret: sealed, without its value. */
export function sealed(ciphertext: string): Secret {
  return { [SIGNATURE]: SECRET, ciphertext };
}

/** Applies `change` to every value, children first. */
export function mapValues(value: unknown, change: (value: unknown) => unknown): unknown {
  if (Array.isArray(value)) return change(value.map((item) => mapValues(item, change)));
  if (!isObject(value)) return change(value);
  return change(
    Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapValues(item, change)])),
  );
}

/** Removes the secret markers: for comparing and for programs' outputs, never for storing. */
export function unwrapped(value: unknown): unknown {
  return mapValues(value, (item) => (isSecret(item) ? item.value : item));
}

function contains(value: unknown, test: (value: unknown) => boolean): boolean {
  if (test(value)) return true;
  if (Array.isArray(value)) return value.some((item) => contains(item, test));
  return isObject(value) && Object.values(value).some((item) => contains(item, test));
}

export const containsSecret = (value: unknown): boolean => contains(value, isSecret);
export const containsUnknown = (value: unknown): boolean => contains(value, (item) => item === UNKNOWN);

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Shorter texts are no secrets worth the name, and masking them would blot out half a message. */
const SHORTEST_SECRET = 4;

/** Blots out the texts that are secret in a resource's properties. */
export function masked(text: string, { inputs, outputs }: { inputs?: unknown; outputs?: unknown }): string {
  const secrets = new Set<string>();
  mapValues([inputs, outputs], (value) => {
    if (isSecret(value))
      mapValues(value.value, (part) => (typeof part === "string" ? secrets.add(part) : part));
    return value;
  });
  const worthHiding = [...secrets].filter(({ length }) => length >= SHORTEST_SECRET);
  return worthHiding.reduce((rest, value) => rest.replaceAll(value, "[secret]"), text);
}
