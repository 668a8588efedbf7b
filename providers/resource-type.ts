import type { CheckFailure, CheckResult, DiffResult } from "@pulumi/pulumi/provider/index.js";
import type { z } from "zod";
import { isUnknown, normalise, type Properties, plain } from "./wire.ts";

/** Which resource an operation is about, and a signal that fires when the user interrupts the deployment. */
export interface Subject {
  readonly urn: string;
  /** The resource's logical name, for messages. */
  readonly name: string;
  readonly signal: AbortSignal;
}

export interface Created {
  readonly id: string;
  readonly outs: Properties;
}

/** What one type of resource can do. Property bags come and go with their secrets marked. */
export interface ResourceType {
  check(subject: Subject, news: Properties): CheckResult;
  diff(subject: Subject, olds: Properties, news: Properties): DiffResult;
  create(subject: Subject, inputs: Properties): Promise<Created>;
  /** The state as it is now, or undefined when the resource is gone. */
  read(subject: Subject, props: Properties): Promise<Properties | undefined>;
  update(subject: Subject, olds: Properties, news: Properties): Promise<Properties>;
  delete(subject: Subject, props: Properties): Promise<void>;
  /** What an interrupted create left behind, or undefined when that is nothing. */
  recover(subject: Subject, inputs: Properties): Promise<Created | undefined>;
}

/** An operation failed but left something in place: both engines keep `properties` in the state. */
export class PartialStateError extends Error {
  readonly id: string;
  readonly properties: Properties;
  readonly reasons: string[];

  constructor(message: string, state: Created) {
    super(message);
    this.id = state.id;
    this.properties = state.outs;
    this.reasons = [message];
  }
}

/**
 * Validates a bag of inputs against a schema, all failures at once. Values that are not known yet pass: the check
 * runs again when they are.
 */
export function schemaFailures(schema: z.ZodType, inputs: Properties): CheckFailure[] {
  const result = schema.safeParse(inputs);
  if (result.success) return [];
  return result.error.issues
    .filter((issue) => !leadsToUnknown(inputs, issue.path))
    .flatMap((issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map((key) => ({
            property: propertyPath([...issue.path, key]),
            reason: "is no argument of this type: remove it",
          }))
        : [{ property: propertyPath(issue.path), reason: issue.message }],
    );
}

/** Reads a bag that a check has let pass. */
export function parseWith<T>(schema: z.ZodType<T>, bag: Properties): T {
  const result = schema.safeParse(bag);
  if (result.success) return result.data;
  const problems = schemaFailures(schema, bag).map(({ property, reason }) => `${property} ${reason}`);
  throw new Error(`its properties cannot be read: ${problems.join("; ")}`);
}

/** The usual answer to a check: the inputs with defaults filled in and markers tidied, and what is wrong. */
export function checkResult(
  news: Properties,
  defaults: Properties,
  find: (inputs: Properties) => CheckFailure[],
) {
  const inputs = { ...defaults, ...normalise(news) };
  return { inputs, failures: find(plain(inputs)) };
}

function leadsToUnknown(root: unknown, path: readonly PropertyKey[]): boolean {
  let current = root;
  for (const key of path) {
    if (isUnknown(current)) return true;
    if (typeof current !== "object" || current === null) return false;
    current = Reflect.get(current, key);
  }
  return isUnknown(current);
}

function propertyPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => {
      if (typeof key === "number") return `[${key}]`;
      const text = String(key);
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return `[${JSON.stringify(text)}]`;
      return index === 0 ? text : `.${text}`;
    })
    .join("");
}
