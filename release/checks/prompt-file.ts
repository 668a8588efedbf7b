import { z } from "zod";
import { checkSyntax, render } from "./template.ts";

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;
const FINISH_REASONS = ["stop", "length", "tool_calls", "content_filter"] as const;

const words = (what: string) => {
  const error = `is missing or empty; give ${what}`;
  return z.string({ error }).min(1, { error });
};

const tokens = (what: string) => {
  const error = `is no whole number above 0; give ${what}`;
  return z.int({ error }).min(1, { error });
};

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A schema that zod can check answers with. */
const jsonSchema = z
  .record(z.string(), z.json(), { error: "is no object; give a JSON schema" })
  .superRefine((schema, context) => {
    try {
      validatorOf(schema);
    } catch (error) {
      const message = `is no JSON schema that can be checked (${reasonOf(error)}); correct it`;
      context.addIssue({ code: "custom", message });
    }
  });

const template = words("a template").superRefine((text, context) => {
  try {
    checkSyntax(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: `is no template (${reasonOf(error)}); correct it` });
  }
});

const regularExpression = words("a regular expression").superRefine((pattern, context) => {
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    context.addIssue({
      code: "custom",
      message: `is no regular expression (${reasonOf(error)}); correct it`,
    });
  }
});

/** What an answer must be like; each line is one expectation. */
const expected = z
  .strictObject({
    finishReason: z
      .enum(FINISH_REASONS, { error: `is unknown; use ${FINISH_REASONS.join(", ")}` })
      .optional(),
    /** Least tokens of the answer, as its `usage` counts them. */
    minTokens: tokens("the least tokens of the answer").optional(),
    /** Most tokens of the answer. */
    maxTokens: tokens("the most tokens of the answer").optional(),
    /** A text that is part of the answer. */
    contains: words("a text").optional(),
    /** A regular expression that fits somewhere. */
    matches: regularExpression.optional(),
    /** A JSON schema to keep to; `true` is the prompt's own `response_format`, or any JSON where it has none. */
    json: z.union([z.literal(true), jsonSchema]).optional(),
    /** Name of the tool that the answer calls. */
    toolCall: words("the name of a tool").optional(),
  })
  .refine((wanted) => Object.values(wanted).some((value) => value !== undefined), {
    error: "is empty; give at least one expectation",
  })
  .refine(({ minTokens = 0, maxTokens = Number.POSITIVE_INFINITY }) => minTokens <= maxTokens, {
    error: "has a minTokens above its maxTokens; swap them",
  });

const promptTest = z.strictObject({
  name: words("a name"),
  /** Values of the templates' variables. Default: none. */
  variables: z.record(z.string(), z.json()).default({}),
  expect: expected,
  /** How much it counts in the score. Default: 1. */
  weight: z
    .number({ error: "is no number; give one above 0" })
    .positive({ error: "is not above 0; give a number above 0" })
    .default(1),
});

const tool = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: words("the tool's name"),
    description: z.string().optional(),
    parameters: jsonSchema.optional(),
  }),
});

const responseFormat = z.strictObject({
  type: z.literal("json_schema", { error: 'is unknown; use "json_schema"' }),
  json_schema: z.strictObject({
    name: words("the schema's name"),
    strict: z.boolean().default(true),
    schema: jsonSchema,
  }),
});

const model = z.strictObject({
  task: z.literal("chat", { error: 'is unknown; use "chat"' }).default("chat"),
  /** Default: the first chat model of the release. */
  name: words("a model's name").optional(),
});

const parameters = z.strictObject({
  temperature: z
    .number({ error: "is no number; give one from 0 to 2" })
    .min(0, { error: "is below 0; give a number from 0 to 2" })
    .max(2, { error: "is above 2; give a number from 0 to 2" })
    .optional(),
  /** Most tokens of an answer. */
  max_tokens: tokens("the most tokens of an answer"),
});

const tests = z
  .array(promptTest, { error: "is missing or no list; give at least one test" })
  .min(1, { error: "is empty; give at least one test" })
  .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, {
    error: "has two tests of one name; give each its own",
  });

/** A prompt as a file holds it. */
export const promptFile = z
  .strictObject({
    name: z.string({ error: "is missing; name the prompt" }).regex(NAME, {
      error: "is no name; use lower-case letters, digits and dashes, beginning with a letter",
    }),
    version: z
      .string({ error: 'is missing or no text; give one such as "1.0.0"' })
      .regex(SEMVER, { error: 'is no version; give one such as "1.0.0"' }),
    description: words("what the prompt is for"),
    model: model.prefault({}),
    parameters,
    /** Liquid template. Default: no system message. */
    system: template.optional(),
    /** Liquid template. */
    user: template,
    response_format: responseFormat.optional(),
    /** Functions that the model may call. Default: none. */
    tools: z.array(tool).min(1, { error: "is empty; name a tool, or leave it out" }).optional(),
    tests,
  })
  .superRefine((prompt, context) => {
    for (const [index, { expect, variables }] of prompt.tests.entries()) {
      const tell = (path: string[], message: string) =>
        context.addIssue({ code: "custom", path: ["tests", index, ...path], message });
      for (const problem of templateProblems(prompt, variables)) tell(["variables"], problem);
      if (expect.toolCall !== undefined && !toolNames(prompt).includes(expect.toolCall)) {
        tell(["expect", "toolCall"], "names no tool of the prompt; add it to tools");
      }
    }
  });

export type PromptFile = z.output<typeof promptFile>;
export type PromptTest = PromptFile["tests"][number];
export type Expected = PromptTest["expect"];

interface Templates {
  readonly system?: string | undefined;
  readonly user: string;
}

function templateProblems({ system = "", user }: Templates, variables: PromptTest["variables"]): string[] {
  return Object.entries({ system, user }).flatMap(([field, template]) => {
    try {
      return render(template, variables).trim() === "" && template !== ""
        ? [`leave ${field} empty; give a text`]
        : [];
    } catch (error) {
      return [`do not fit ${field}: ${reasonOf(error)}; correct the template or the variables`];
    }
  });
}

function toolNames({
  tools = [],
}: {
  readonly tools?: readonly z.output<typeof tool>[] | undefined;
}): string[] {
  return tools.map((one) => one.function.name);
}

/** @throws Error for a schema that zod cannot check. */
export function validatorOf(schema: Readonly<Record<string, unknown>>): z.ZodType {
  return z.fromJSONSchema(schema);
}
