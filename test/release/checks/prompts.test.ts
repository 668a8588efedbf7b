import { describe, expect, test } from "vitest";
import { loadPrompts, type Quality, runPromptTests } from "../../../release/checks/prompts.ts";
import { deadUrl, KEY as GATEWAY_KEY, MODEL, until } from "../../services/gateway/support.ts";
import { type Asked, argsFor, KEY, promptOf, SHIPPED, say, startAnswering } from "./prompt-support.ts";
import { MODELS, NEVER, startColor } from "./support.ts";

const SCHEMA = {
  type: "object",
  properties: { category: { enum: ["a", "b"] }, urgency: { type: "integer", minimum: 1, maximum: 4 } },
  required: ["category", "urgency"],
  additionalProperties: false,
};
const RESPONSE_FORMAT = { type: "json_schema", json_schema: { name: "x", schema: SCHEMA } };
const TOOLS = [{ type: "function", function: { name: "search" } }];

function expecting(expect: object, more: object = {}) {
  return promptOf({ tests: [{ name: "only", variables: { name: "Ada" }, expect }], ...more });
}

const question = ({ messages }: Asked) => messages.at(-1)?.content ?? "";

/** The quality of a prompt whose answers are all the same. */
async function qualityOf(prompt: object, said: Parameters<typeof say>[1]): Promise<Quality> {
  const { url } = await startAnswering((_asked, response) => say(response, said));
  return runPromptTests(await argsFor(url, [prompt]));
}

describe("the shipped prompts", () => {
  async function shippedOn(
    url: string,
    key: string,
    models: readonly { name: string; task: "chat" | "embeddings" }[],
  ) {
    const prompts = await loadPrompts(SHIPPED);
    return runPromptTests({ url, key, prompts, models, repeats: 2, concurrency: 4, signal: NEVER });
  }

  test("reach the full score on a model that keeps to what they ask for", async () => {
    const { url } = await startColor();
    const quality = await shippedOn(url, GATEWAY_KEY, MODELS);
    expect(quality.cases.filter(({ problem }) => problem !== undefined)).toEqual([]);
    expect(quality).toMatchObject({ score: 1, failed: 0 });
    expect(quality.samples).toBeGreaterThanOrEqual(20);
  });

  test("score far lower on a model that ignores the response format", async () => {
    const { url } = await startColor("--sim-fault=unstructured");
    const { score, failed, samples } = await shippedOn(url, GATEWAY_KEY, MODELS);
    expect(failed).toBe(0);
    expect(samples).toBeGreaterThanOrEqual(20);
    // Far enough below every strategy's gate and allowed drop.
    expect(score).toBeLessThan(0.6);
  });
});

describe("what is sent for a prompt", () => {
  test("holds its texts with the variables put in, its parameters and its response format", async () => {
    const { url, asked } = await startAnswering((_asked, response) => say(response, {}));
    const prompt = expecting(
      { contains: "hi" },
      {
        system: "Be {{ name | downcase }}.",
        parameters: { temperature: 0.5, max_tokens: 50 },
        response_format: RESPONSE_FORMAT,
        tools: TOOLS,
      },
    );
    await runPromptTests(await argsFor(url, [prompt]));
    expect(asked).toEqual([
      {
        model: "tiny",
        messages: [
          { role: "system", content: "Be ada." },
          { role: "user", content: "Hello Ada" },
        ],
        temperature: 0.5,
        max_tokens: 50,
        response_format: {
          type: "json_schema",
          json_schema: { name: "x", strict: true, schema: SCHEMA },
        },
        tools: TOOLS,
      },
    ]);
  });

  test("goes to the first chat model, or to the one that the prompt names", async () => {
    const { url, asked } = await startAnswering((_asked, response) => say(response, {}));
    const models = [
      { name: "vectors", task: "embeddings" as const },
      { name: "first", task: "chat" as const },
      { name: "second", task: "chat" as const },
    ];
    const prompts = [promptOf(), promptOf({ name: "to-second", model: { name: "second" } })];
    await runPromptTests(await argsFor(url, prompts, { models }));
    expect(asked.map(({ model }) => model)).toEqual(["first", "second"]);
  });

  test("needs a model: without any the run is refused before anything is sent", async () => {
    const { url, asked } = await startAnswering((_asked, response) => say(response, {}));
    const models = [{ name: "vectors", task: "embeddings" as const }];
    const args = await argsFor(url, [promptOf()], { models });
    await expect(runPromptTests(args)).rejects.toThrow(/prompt-0\.yaml: model has no name.*name one/);
    expect(asked).toEqual([]);
  });

  test("is repeated, with no more requests at a time than asked for", async () => {
    let open = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    const { url, asked } = await startAnswering((_asked, response) => {
      open += 1;
      most = Math.max(most, open);
      waiting.push(() => {
        open -= 1;
        say(response, {});
      });
    });
    const run = runPromptTests(await argsFor(url, [promptOf()], { repeats: 7, concurrency: 3 }));
    for (let answered = 0; answered < 7; answered += 1) {
      await until(() => waiting.length === Math.min(3, 7 - answered));
      waiting.shift()?.();
    }
    expect(await run).toMatchObject({ samples: 7, score: 1 });
    expect([asked.length, most]).toEqual([7, 3]);
  });
});

const GOOD_JSON = JSON.stringify({ category: "a", urgency: 4 });

describe("an expectation of", () => {
  test.each<[string, object, Parameters<typeof say>[1], Parameters<typeof say>[1], string]>([
    ["finishReason", { finishReason: "stop" }, {}, { finish: "length" }, "ended by length instead of stop"],
    ["minTokens", { minTokens: 5 }, { tokens: 5 }, { tokens: 4 }, "has 4 tokens instead of at least 5"],
    ["maxTokens", { maxTokens: 5 }, { tokens: 5 }, { tokens: 6 }, "has 6 tokens instead of at most 5"],
    ["minTokens without usage", { minTokens: 1 }, {}, { tokens: -1 }, "does not say how many tokens"],
    ["contains", { contains: "yes." }, { content: "Oh yes." }, { content: "yes" }, 'does not contain "yes."'],
    ["matches", { matches: "^\\p{Lu}" }, { content: "É" }, { content: "é" }, "does not match /^\\p{Lu}/"],
    ["any json", { json: true }, { content: "[1]" }, { content: "[1" }, "is no JSON: [1"],
    ["json of no content", { json: true }, { content: "0" }, { content: null }, "is no JSON"],
    [
      "json by a schema",
      { json: SCHEMA },
      { content: GOOD_JSON },
      { content: JSON.stringify({ category: "c", urgency: 1 }) },
      "does not keep to its JSON schema: category: Invalid option",
    ],
    [
      "json by a schema with a bound",
      { json: SCHEMA },
      { content: GOOD_JSON },
      { content: JSON.stringify({ category: "a", urgency: 5 }) },
      "does not keep to its JSON schema: urgency: Too big",
    ],
    [
      "json by a schema with all fields required",
      { json: SCHEMA },
      { content: GOOD_JSON },
      { content: '{"category":"a"}' },
      "does not keep to its JSON schema: urgency:",
    ],
    [
      "json by a schema without other fields",
      { json: SCHEMA },
      { content: GOOD_JSON },
      { content: GOOD_JSON.replace("{", '{"more":1,') },
      'does not keep to its JSON schema: the value: Unrecognized key: "more"',
    ],
  ])("%s is met or told", async (_name, wanted, good, bad, problem) => {
    expect(await qualityOf(expecting(wanted), good)).toEqual({
      score: 1,
      samples: 1,
      failed: 0,
      cases: [{ prompt: "greet", test: "only", score: 1 }],
    });
    expect(await qualityOf(expecting(wanted), bad)).toMatchObject({
      score: 0,
      samples: 1,
      failed: 0,
      cases: [{ prompt: "greet", test: "only", score: 0, problem: expect.stringContaining(problem) }],
    });
  });

  test("json: true holds to the prompt's own response format", async () => {
    const prompt = expecting({ json: true }, { response_format: RESPONSE_FORMAT });
    expect((await qualityOf(prompt, { content: GOOD_JSON })).score).toBe(1);
    const { score, cases } = await qualityOf(prompt, { content: '{"category":"a"}' });
    expect(score).toBe(0);
    expect(cases[0]?.problem).toContain("does not keep to its JSON schema: urgency");
  });

  test("toolCall is met by a call of that tool alone", async () => {
    const prompt = expecting({ toolCall: "search" }, { tools: TOOLS });
    expect((await qualityOf(prompt, { content: null, calls: ["search"] })).score).toBe(1);
    expect((await qualityOf(prompt, { content: null, calls: ["other"] })).cases[0]?.problem).toBe(
      "calls other instead of search",
    );
    expect((await qualityOf(prompt, {})).cases[0]?.problem).toBe("calls no tool instead of search");
  });

  test("toolCall is met by a model that calls tools", async () => {
    const { url } = await startColor("--enable-auto-tool-choice", "--tool-call-parser=hermes");
    const prompt = expecting({ toolCall: "search", finishReason: "tool_calls" }, { tools: TOOLS });
    const models = [{ name: MODEL, task: "chat" as const }];
    const quality = await runPromptTests(await argsFor(url, [prompt], { key: GATEWAY_KEY, models }));
    expect(quality.cases).toEqual([{ prompt: "greet", test: "only", score: 1 }]);
  });
});

describe("the score", () => {
  test("of a test is the share of its expectations that are met", async () => {
    const wanted = { finishReason: "stop", minTokens: 1, contains: "never", matches: "never" };
    const { score, cases } = await qualityOf(expecting(wanted), {});
    expect(score).toBe(0.5);
    expect(cases[0]?.problem).toBe('does not contain "never"; does not match /never/');
  });

  test("of all is the mean by weight, over every answer", async () => {
    const { url } = await startAnswering((asked, response) =>
      say(response, { content: question(asked).endsWith("Ada") ? "yes" : "no" }),
    );
    const named = (name: string, weight: number) => ({
      name,
      variables: { name },
      expect: { contains: "yes" },
      weight,
    });
    const prompt = promptOf({ tests: [named("Ada", 3), named("Bob", 1)] });
    const quality = await runPromptTests(await argsFor(url, [prompt], { repeats: 2 }));
    expect(quality).toMatchObject({ score: 0.75, samples: 4, failed: 0 });
    expect(quality.cases.map(({ test: name, score }) => [name, score])).toEqual([
      ["Ada", 1],
      ["Bob", 0],
    ]);
  });

  test("of a test is the mean of its repeats, and each problem is told once", async () => {
    let number = 0;
    const { url } = await startAnswering((_asked, response) => {
      number += 1;
      say(response, { content: number === 1 ? "hi" : "no" });
    });
    const { score, cases } = await runPromptTests(await argsFor(url, [promptOf()], { repeats: 4 }));
    expect(score).toBe(0.25);
    expect(cases).toEqual([
      { prompt: "greet", test: "greets", score: 0.25, problem: 'does not contain "hi"' },
    ]);
  });

  test.each([500, 503, 504, 429, 401, 403])(
    "leaves out requests that are answered %d, and counts them",
    async (status) => {
      let number = 0;
      const { url } = await startAnswering((_asked, response) => {
        number += 1;
        if (number > 1) response.writeHead(status).end("later");
        else say(response, {});
      });
      const quality = await runPromptTests(await argsFor(url, [promptOf()], { repeats: 3 }));
      expect(quality).toMatchObject({ score: 1, samples: 1, failed: 2 });
      expect(quality.cases[0]).toMatchObject({ score: 1, problem: `answered ${status}: later` });
    },
  );

  test.each([400, 404, 422])("is 0 for a prompt that the release refuses with %d", async (status) => {
    const { url } = await startAnswering((_asked, response) => void response.writeHead(status).end("no"));
    const quality = await runPromptTests(await argsFor(url, [promptOf()]));
    expect(quality).toMatchObject({ score: 0, samples: 1, failed: 0 });
    expect(quality.cases[0]?.problem).toBe(`answered ${status}: no`);
  });

  test.each(["<html>", "{}", '{"choices":[]}', '{"choices":[{}]}'])(
    "is 0 for the answer %s",
    async (body) => {
      const { url } = await startAnswering((_asked, response) => void response.end(body));
      const quality = await runPromptTests(await argsFor(url, [promptOf()]));
      expect(quality).toMatchObject({ score: 0, samples: 1, failed: 0 });
      expect(quality.cases[0]?.problem).toBe("the answer is no chat completion");
    },
  );

  test("is unknown where nothing answers", async () => {
    const quality = await runPromptTests(await argsFor(await deadUrl(), [promptOf()], { repeats: 2 }));
    expect(quality).toMatchObject({ score: Number.NaN, samples: 0, failed: 2 });
    expect(quality.cases).toEqual([
      {
        prompt: "greet",
        test: "greets",
        score: undefined,
        problem: "the connection failed: ECONNREFUSED",
      },
    ]);
  });

  test("counts an answer that does not come in time as failed", async () => {
    const { url } = await startAnswering(() => undefined);
    const quality = await runPromptTests(await argsFor(url, [promptOf()], { deadlineMs: 100 }));
    expect(quality).toMatchObject({ samples: 0, failed: 1 });
    expect(quality.cases[0]?.problem).toBe("there was no whole answer after 0.1 s");
  });
});

describe("a run of prompt tests", () => {
  test("ends with the reason of the signal when that aborts, and asks nothing more", async () => {
    const { url, asked } = await startAnswering(() => undefined);
    const controller = new AbortController();
    const args = await argsFor(url, [promptOf()], { repeats: 5, signal: controller.signal });
    const run = runPromptTests(args);
    await until(() => asked.length === 1);
    controller.abort(new Error("interrupted"));
    await expect(run).rejects.toThrow("interrupted");
    expect(asked).toHaveLength(1);
  });

  test("tells no key, no control character and no long text, whatever the model writes", async () => {
    const content = `\u001b[2J${KEY}\r\n\u202e${"long ".repeat(50_000)}`;
    const { cases } = await qualityOf(expecting({ json: true }), { content });
    expect(cases[0]?.problem).toMatch(/^is no JSON: \[2J<key> long long/);
    expect(cases[0]?.problem?.length).toBeLessThan(200);
    const { url } = await startAnswering((_asked, response) => void response.writeHead(500).end(content));
    const refused = await runPromptTests(await argsFor(url, [promptOf()]));
    expect(refused.cases[0]?.problem).toMatch(/^answered 500: \[2J<key> long/);
  });
});
