import path from "node:path";
import { describe, expect, test } from "vitest";
import { loadPrompts } from "../../../release/checks/prompts.ts";
import { folderOf, promptOf, SHIPPED } from "./prompt-support.ts";

const TEST = { name: "greets", variables: { name: "Ada" }, expect: { contains: "hi" } };
const testWith = (more: object) => promptOf({ tests: [{ ...TEST, ...more }] });

const schemaWith = (schema: unknown) =>
  promptOf({ response_format: { type: "json_schema", json_schema: { name: "x", schema } } });

const WRONG: [string, object | string, string][] = [
  ["a name with spaces", promptOf({ name: "Say Hi" }), "name is no name; use lower-case"],
  ["a version that is a number", promptOf({ version: 1.5 }), "version is missing or no text"],
  ["a version in words", promptOf({ version: "latest" }), "version is no version"],
  ["no description", promptOf({ description: undefined }), "description is missing or empty"],
  ["an unknown field", promptOf({ temprature: 1 }), "the file has unknown fields: temprature"],
  [
    "an unknown field within",
    promptOf({ parameters: { max_tokens: 5, top: 1 } }),
    "parameters has unknown fields: top",
  ],
  [
    "a temperature of 3",
    promptOf({ parameters: { max_tokens: 5, temperature: 3 } }),
    "parameters.temperature is above 2",
  ],
  ["no bound of the answer", promptOf({ parameters: {} }), "parameters.max_tokens is no whole number"],
  ["another task", promptOf({ model: { task: "embeddings" } }), "model.task is unknown"],
  ["no user template", promptOf({ user: "" }), "user is missing or empty"],
  ["a template that is not closed", promptOf({ user: "Hello {{ name" }), "user is no template"],
  ["a filter that does not exist", promptOf({ system: "{{ name | shout }}" }), "system is no template"],
  [
    "another response format",
    promptOf({ response_format: { type: "xml" } }),
    'response_format.type is unknown; use "json_schema"',
  ],
  [
    "a schema that is none",
    schemaWith({ type: "text" }),
    "response_format.json_schema.schema is no JSON schema",
  ],
  ["a schema that is a list", schemaWith([]), "response_format.json_schema.schema is no object"],
  ["no tests", promptOf({ tests: [] }), "tests is empty; give at least one test"],
  ["two tests of one name", promptOf({ tests: [TEST, TEST] }), "tests has two tests of one name"],
  ["a test without expectations", testWith({ expect: {} }), "tests.0.expect is empty"],
  [
    "an unknown expectation",
    testWith({ expect: { contain: "x" } }),
    "tests.0.expect has unknown fields: contain",
  ],
  [
    "an unknown finish reason",
    testWith({ expect: { finishReason: "done" } }),
    "tests.0.expect.finishReason is unknown",
  ],
  [
    "a broken regular expression",
    testWith({ expect: { matches: "(" } }),
    "tests.0.expect.matches is no regular expression",
  ],
  ["json: false", testWith({ expect: { json: false } }), "tests.0.expect.json is none of what it may be"],
  [
    "tokens of 0",
    testWith({ expect: { minTokens: 0 } }),
    "tests.0.expect.minTokens is no whole number above 0",
  ],
  [
    "tokens that cross",
    testWith({ expect: { minTokens: 9, maxTokens: 3 } }),
    "has a minTokens above its maxTokens",
  ],
  ["a weight of 0", testWith({ weight: 0 }), "tests.0.weight is not above 0"],
  [
    "a variable that is missing",
    testWith({ variables: {} }),
    "tests.0.variables do not fit user: undefined variable: name",
  ],
  [
    "a text that comes out empty",
    { ...testWith({ variables: { name: " " } }), user: "{{ name }}" },
    "tests.0.variables leave user empty",
  ],
  [
    "a tool that is not there",
    testWith({ expect: { toolCall: "search" } }),
    "tests.0.expect.toolCall names no tool",
  ],
  ["a list", [promptOf()], "the file Invalid input: expected object"],
  ["broken YAML", "name: [", "Flow sequence"],
  ["a key given twice", "name: a\nname: b\n", "Map keys must be unique"],
  ["a text that is too long", `# ${"x".repeat(300_000)}`, "has more than 262144 characters"],
  ["aliases that multiply", bomb(), "Excessive alias count"],
];

function bomb(): string {
  const lines = Array.from({ length: 12 }, (_, index) => {
    const items = index === 0 ? Array(10).fill("x") : Array(10).fill(`*a${index - 1}`);
    return `a${index}: &a${index} [${items.join(", ")}]`;
  });
  return lines.join("\n");
}

describe("loading prompts", () => {
  test("gives those of a folder, by name, with their defaults", async () => {
    const second = promptOf({ name: "another", model: { name: "large" } });
    const folder = await folderOf({ "z.yaml": promptOf(), "a.yaml": second, "README.md": "# not a prompt" });
    const [another, greet] = await loadPrompts(folder);
    expect(another).toMatchObject({ name: "another", model: { task: "chat", name: "large" } });
    expect(greet).toMatchObject({
      name: "greet",
      model: { task: "chat" },
      file: path.join(folder, "z.yaml"),
    });
    expect(greet?.tests[0]?.weight).toBe(1);
  });

  test("gives none where there is no folder", async () => {
    expect(await loadPrompts("/no/such/folder")).toEqual([]);
  });

  test("accepts every prompt that is shipped, with enough tests for a score", async () => {
    const prompts = await loadPrompts(SHIPPED);
    expect(prompts.length).toBeGreaterThanOrEqual(3);
    expect(prompts.flatMap(({ tests }) => tests).length).toBeGreaterThanOrEqual(10);
  });

  test.each(WRONG)("refuses %s with file and field", async (_name, content, problem) => {
    const folder = await folderOf({ "wrong.yaml": content });
    await expect(loadPrompts(folder)).rejects.toThrow(`\n${path.join(folder, "wrong.yaml")}: `);
    await expect(loadPrompts(folder)).rejects.toThrow(problem);
  });

  test("tells every problem of every file at once", async () => {
    const folder = await folderOf({
      "one.yaml": promptOf({ name: "A B", version: "x", user: "{{ name" }),
      "two.yaml": "name: [",
      "three.yml": promptOf(),
    });
    const message = await loadPrompts(folder).then(
      () => "",
      (error: Error) => error.message,
    );
    const fields = [
      "one.yaml: name ",
      "one.yaml: version ",
      "one.yaml: user ",
      "two.yaml: ",
      "three.yml: is not read",
    ];
    for (const field of fields) expect(message).toContain(path.join(folder, field));
    expect(message.split("\n").length).toBeGreaterThanOrEqual(6);
  });

  test("refuses a name that two files have", async () => {
    const folder = await folderOf({ "a.yaml": promptOf(), "b.yaml": promptOf() });
    await expect(loadPrompts(folder)).rejects.toThrow(/b\.yaml: name is that of .*a\.yaml too; rename one/);
  });
});

describe("a template", () => {
  // Five loops, one in another, over this take days; a list that is given needs no memory of its own.
  const variables = { name: "Ada", list: Array.from({ length: 300 }, (_, index) => index) };
  const withUser = (user: string) => ({ "x.yaml": promptOf({ user, tests: [{ ...TEST, variables }] }) });

  test.each([
    ["reads no file", "{% include '/etc/passwd' %}"],
    ["renders no file", "{% render 'package.json' %}"],
    ["takes no layout", "{% layout 'README.md' %}"],
    ["reaches nothing but its variables", "{{ name.constructor }}"],
    ["makes no endless list", "{% for i in (1..1000000000) %}x{% endfor %}"],
    [
      "doubles no text for ever",
      "{% for i in (1..99) %}{% assign name = name | append: name %}{% endfor %}{{ name }}",
    ],
    ["makes no text that is too long", `{% for i in (1..900) %}${"long ".repeat(100)}{% endfor %}`],
    ["takes no more than its time", `${"{% for i in list %}".repeat(5)}x${"{% endfor %}".repeat(5)}`],
  ])("%s", async (_name, user) => {
    await expect(loadPrompts(await folderOf(withUser(user)))).rejects.toThrow("do not fit user");
  });
});
