import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { parseSettings, settingsSchema } from "../../../services/gateway/settings.ts";

const text = readFileSync(new URL("../../../docs/gateway/settings.yaml", import.meta.url), "utf8");

interface JsonSchema {
  readonly properties?: Record<string, JsonSchema>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly default?: unknown;
}

/** Every setting by its path, `*` for what users name; with its default where it has one. */
function settingsOf(schema: JsonSchema, path = ""): [path: string, defaultValue: unknown][] {
  const { properties = {}, additionalProperties, items, anyOf = [], oneOf = [] } = schema;
  const own = Object.entries(properties).flatMap(([name, value]): [string, unknown][] => {
    const at = path === "" ? name : `${path}.${name}`;
    return [[at, value.default], ...settingsOf(value, at)];
  });
  const nested = [items, typeof additionalProperties === "object" ? additionalProperties : undefined]
    .filter((inner) => inner !== undefined)
    .flatMap((inner) => settingsOf(inner, `${path}.*`));
  return [...own, ...nested, ...[...anyOf, ...oneOf].flatMap((inner) => settingsOf(inner, path))];
}

/** The values that a document has at a path. */
function valuesAt(value: unknown, path: readonly string[]): unknown[] {
  const [name, ...rest] = path;
  if (name === undefined) return [value];
  if (typeof value !== "object" || value === null) return [];
  if (name === "*") return Object.values(value).flatMap((inner) => valuesAt(inner, rest));
  return name in value ? valuesAt(Object(value)[name], rest) : [];
}

describe("docs/gateway/settings.yaml", () => {
  const document: unknown = parse(text);
  const schema = z.toJSONSchema(settingsSchema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  const settings = new Map(settingsOf(schema));

  test("when a gateway reads it, then it is accepted", () => {
    expect(parseSettings(text, "settings.yaml").problems).toEqual([]);
  });

  test("when it is compared with what the gateway reads, then it names every setting", () => {
    const missing = [...settings.keys()].filter((path) => valuesAt(document, path.split(".")).length === 0);
    expect(missing).toEqual([]);
  });

  test("when a setting has a default, then it shows it", () => {
    const scalars = [...settings].filter(
      ([path, value]) => !path.includes("*") && value !== undefined && typeof value !== "object",
    );
    expect(scalars.length).toBeGreaterThan(0);
    for (const [path, value] of scalars) {
      expect([path, valuesAt(document, path.split("."))]).toEqual([path, [value]]);
    }
  });
});
