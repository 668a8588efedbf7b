import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { randomFrom } from "../../../services/model-simulator/random.ts";
import { instanceOf } from "../../../services/model-simulator/schema.ts";

type Schema = Record<string, unknown>;

const bounds = fc.tuple(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: 0, max: 50 }));
const leaf: fc.Arbitrary<Schema> = fc.oneof(
  fc.constantFrom<Schema>(
    { type: "string" },
    { type: "integer" },
    { type: "number" },
    { type: "boolean" },
    { type: "null" },
  ),
  fc
    .tuple(fc.nat(40), fc.nat(40))
    .map(([min, more]) => ({ type: "string", minLength: min, maxLength: min + more })),
  bounds.map(([min, more]) => ({ type: "integer", minimum: min, maximum: min + more })),
  bounds.map(([min, more]) => ({ type: "number", exclusiveMinimum: min, maximum: min + more + 0.25 })),
  fc.constantFrom("email", "uuid", "ipv4", "date").map((format) => ({ type: "string", format })),
  fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
);

const { schema } = fc.letrec<{ schema: Schema }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc
      .tuple(fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), tie("schema"), { maxKeys: 4 }), fc.boolean())
      .map(([properties, all]) => ({
        type: "object",
        properties,
        required: all ? Object.keys(properties) : [],
        additionalProperties: false,
      })),
    fc.tuple(tie("schema"), fc.nat(3)).map(([items, minItems]) => ({ type: "array", items, minItems })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
}));

function accepts(definition: Schema, value: unknown): boolean {
  return z.fromJSONSchema(definition).safeParse(value).success;
}

describe("an instance of a JSON schema", () => {
  test("is accepted by the schema, whatever the schema and the seed", () => {
    fc.assert(
      fc.property(schema, fc.nat(), (definition, seed) => {
        const value = instanceOf(definition, randomFrom(seed));
        expect(accepts(definition, JSON.parse(JSON.stringify(value)))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("ends, when a schema refers to itself", () => {
    const node = {
      type: "object",
      properties: {
        name: { type: "string" },
        next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] },
        children: { type: "array", items: { $ref: "#/$defs/node" } },
      },
      required: ["name", "next", "children"],
    };
    const definition = { $defs: { node }, $ref: "#/$defs/node" };
    for (let seed = 0; seed < 20; seed += 1) {
      expect(JSON.stringify(instanceOf(definition, randomFrom(seed))).length).toBeLessThan(100_000);
    }
  });

  test("joins the parts of allOf", () => {
    const part = (name: string) => ({
      type: "object",
      properties: { [name]: { type: "integer" } },
      required: [name],
    });
    const value = instanceOf({ allOf: [part("a"), part("b")] }, randomFrom(1));
    expect(z.object({ a: z.int(), b: z.int() }).safeParse(value).success).toBe(true);
  });

  test.for<[Schema, string]>([
    [{ type: "nonsense" }, "Invalid type: nonsense"],
    [{ type: "string", pattern: "^a+$" }, "Unsupported keyword: pattern"],
    [{ type: "integer", minimum: 5, maximum: 1 }, "no number meets the limits"],
    [{ $ref: "#/$defs/missing" }, "Unknown reference"],
    [{ $ref: "https://example.com/schema" }, "Unsupported reference"],
    [{ $defs: { a: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" }, "the schema never ends"],
  ])("is refused for %j", ([definition, problem]) => {
    expect(() => instanceOf(definition, randomFrom(1))).toThrow(problem);
  });
});
