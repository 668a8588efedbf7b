import { z } from "zod";
import { parseJson } from "./ask.ts";
import { type Expected, type PromptFile, validatorOf } from "./prompt-file.ts";

// What a regular expression is let loose on.
const MAX_CHARACTERS = 100_000;

const answer = z.looseObject({
  choices: z
    .tuple([
      z.looseObject({
        message: z.looseObject({
          content: z.string().nullish(),
          tool_calls: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }) })).nullish(),
        }),
        finish_reason: z.string().nullish(),
      }),
    ])
    .rest(z.unknown()),
  usage: z.looseObject({ completion_tokens: z.number() }).nullish(),
});

interface Answer {
  readonly content: string;
  readonly finishReason: string;
  /** Undefined where the answer does not say. */
  readonly tokens: number | undefined;
  readonly toolCalls: readonly string[];
}

/** How much of what was expected of an answer is met. */
export interface Judgement {
  /** Share of the expectations that are met. */
  readonly score: number;
  /** One for each that is not. */
  readonly problems: readonly string[];
}

/** Judges the body of an answer with status 200; one that is no chat meets nothing. */
export function judge(text: string, prompt: PromptFile, wanted: Expected): Judgement {
  const read = readAnswer(text);
  if (read === undefined) return { score: 0, problems: ["the answer is no chat completion"] };
  const results = expectations(prompt, wanted).map((expectation) => expectation(read));
  const problems = results.filter((problem) => problem !== undefined);
  return { score: (results.length - problems.length) / results.length, problems };
}

function readAnswer(text: string): Answer | undefined {
  const parsed = answer.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const { choices, usage } = parsed.data;
  const { message, finish_reason } = choices[0];
  return {
    content: (message.content ?? "").slice(0, MAX_CHARACTERS),
    finishReason: finish_reason ?? "none",
    tokens: usage?.completion_tokens,
    toolCalls: (message.tool_calls ?? []).map((call) => call.function.name),
  };
}

/** Undefined when it is met, else what is wrong. */
type Expectation = (answer: Answer) => string | undefined;

function expectations(prompt: PromptFile, wanted: Expected): Expectation[] {
  const { finishReason, minTokens, maxTokens, contains, matches, json, toolCall } = wanted;
  const all = [
    finishReason && endsBy(finishReason),
    minTokens && tokensWithin("at least", minTokens),
    maxTokens && tokensWithin("at most", maxTokens),
    contains && holds(`does not contain "${contains}"`, (content) => content.includes(contains)),
    matches && holds(`does not match /${matches}/`, (content) => new RegExp(matches, "u").test(content)),
    json && isJson(json === true ? prompt.response_format?.json_schema.schema : json),
    toolCall && calls(toolCall),
  ];
  return all.filter((expectation) => typeof expectation === "function");
}

function endsBy(reason: string): Expectation {
  return ({ finishReason }) =>
    finishReason === reason ? undefined : `ended by ${finishReason} instead of ${reason}`;
}

function tokensWithin(kind: "at least" | "at most", limit: number): Expectation {
  return ({ tokens }) => {
    if (tokens === undefined) return "does not say how many tokens it has";
    const met = kind === "at least" ? tokens >= limit : tokens <= limit;
    return met ? undefined : `has ${tokens} tokens instead of ${kind} ${limit}`;
  };
}

function holds(problem: string, test: (content: string) => boolean): Expectation {
  return ({ content }) => (test(content) ? undefined : problem);
}

function isJson(schema: Readonly<Record<string, unknown>> | undefined): Expectation {
  const validator = schema === undefined ? undefined : validatorOf(schema);
  return ({ content }) => {
    const value = parseJson(content);
    if (value === undefined) return `is no JSON: ${content}`;
    const [issue] = validator?.safeParse(value).error?.issues ?? [];
    return (
      issue && `does not keep to its JSON schema: ${issue.path.join(".") || "the value"}: ${issue.message}`
    );
  };
}

function calls(tool: string): Expectation {
  return ({ toolCalls }) =>
    toolCalls.includes(tool) ? undefined : `calls ${toolCalls.join(", ") || "no tool"} instead of ${tool}`;
}
