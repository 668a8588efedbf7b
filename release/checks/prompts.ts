import pLimit from "p-limit";
import { ask, NoReply, type Reply, type Server, shown } from "./ask.ts";
import { judge } from "./expectations.ts";
import type { Prompt } from "./load-prompts.ts";
import type { PromptTest } from "./prompt-file.ts";
import { render } from "./template.ts";

export { loadPrompts, type Prompt } from "./load-prompts.ts";

const DEADLINE_MS = 60_000;
/** The release refuses its own prompt: it would refuse it to every client. */
const REFUSED = new Set([400, 404, 413, 422]);

export interface PromptTestArgs {
  /** Address of one color, without `/v1`. */
  readonly url: string;
  /** Key that the color accepts; shown nowhere. */
  readonly key: string;
  readonly prompts: readonly Prompt[];
  /** Models that the release serves. */
  readonly models: readonly { readonly name: string; readonly task: "chat" | "embeddings" }[];
  /** How often each test is run. */
  readonly repeats: number;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Ends the tests. */
  readonly signal: AbortSignal;
  /** Milliseconds for each answer. Default: 60000. */
  readonly deadlineMs?: number;
}

export interface PromptCase {
  readonly prompt: string;
  readonly test: string;
  /** Mean share of the expectations that its answers met; undefined where no answer came. */
  readonly score: number | undefined;
  /** What was wrong, each thing once, on one line; safe to show. */
  readonly problem?: string;
}

export interface Quality {
  /** Mean of all answers by their tests' weights, from 0 to 1; NaN where no answer came. */
  readonly score: number;
  /** Answers that the score rests on. */
  readonly samples: number;
  /** Requests without an answer to judge (no connection, timeout, 5xx, 401, 403, 429): they say nothing about quality. */
  readonly failed: number;
  readonly cases: readonly PromptCase[];
}

/** One run of one test; the score is undefined where no answer came. */
interface Sample {
  readonly score: number | undefined;
  readonly problems: readonly string[];
}

interface Case {
  readonly prompt: Prompt;
  readonly test: PromptTest;
  readonly samples: readonly Sample[];
}

/**
 * Runs the tests of prompts and scores the answers.
 * @throws Error when no model can take a prompt; what `signal` says when it aborts.
 */
export async function runPromptTests(args: PromptTestArgs): Promise<Quality> {
  const { url, key, prompts, repeats, concurrency, signal, deadlineMs = DEADLINE_MS } = args;
  const server = { url, key, signal, deadlineMs };
  const limit = pLimit(concurrency);
  const tests = prompts.flatMap((prompt) => {
    const model = modelOf(prompt, args.models);
    return prompt.tests.map((test) => ({ prompt, test, body: bodyOf(prompt, test, model) }));
  });
  const cases = tests.map(async ({ prompt, test, body }): Promise<Case> => {
    const runs = Array.from({ length: repeats }, () => limit(() => sample(server, { prompt, test, body })));
    return { prompt, test, samples: await Promise.all(runs) };
  });
  return qualityOf(await Promise.all(cases), key);
}

function modelOf({ model, file }: Prompt, models: PromptTestArgs["models"]): string {
  const name = model.name ?? models.find(({ task }) => task === "chat")?.name;
  if (name !== undefined) return name;
  throw new Error(`${file}: model has no name, and the release serves no chat model; name one`);
}

function bodyOf(prompt: Prompt, { variables }: PromptTest, model: string): object {
  const { system, user, parameters, response_format, tools } = prompt;
  const systemMessage = system === undefined ? [] : [{ role: "system", content: render(system, variables) }];
  return {
    model,
    messages: [...systemMessage, { role: "user", content: render(user, variables) }],
    ...parameters,
    ...(response_format && { response_format }),
    ...(tools && { tools }),
  };
}

interface Run {
  readonly prompt: Prompt;
  readonly test: PromptTest;
  readonly body: object;
}

async function sample(server: Server, { prompt, test, body }: Run): Promise<Sample> {
  let reply: Reply;
  try {
    reply = await ask(server, { method: "POST", path: "/v1/chat/completions", body });
  } catch (error) {
    if (error instanceof NoReply) return { score: undefined, problems: [error.message] };
    throw error;
  }
  if (reply.status === 200) return judge(reply.text, prompt, test.expect);
  const problems = [`answered ${reply.status}: ${shown(reply.text, server.key)}`];
  return { score: REFUSED.has(reply.status) ? 0 : undefined, problems };
}

function qualityOf(cases: readonly Case[], key: string): Quality {
  const samples = cases.flatMap(({ test, samples: own }) =>
    own.map(({ score }) => ({ score, weight: test.weight })),
  );
  const scored = samples.flatMap(({ score, weight }) => (score === undefined ? [] : [{ score, weight }]));
  return {
    score: weightedMean(scored),
    samples: scored.length,
    failed: samples.length - scored.length,
    cases: cases.map((one) => toCase(one, key)),
  };
}

function toCase({ prompt, test, samples }: Case, key: string): PromptCase {
  const scored = samples.flatMap(({ score }) => (score === undefined ? [] : [{ score, weight: 1 }]));
  const problems = new Set(samples.flatMap((one) => one.problems.map((problem) => shown(problem, key))));
  return {
    prompt: prompt.name,
    test: test.name,
    score: scored.length === 0 ? undefined : weightedMean(scored),
    ...(problems.size > 0 && { problem: [...problems].join("; ") }),
  };
}

function weightedMean(samples: readonly { score: number; weight: number }[]): number {
  const total = samples.reduce((sum, { weight }) => sum + weight, 0);
  return samples.reduce((sum, { score, weight }) => sum + score * weight, 0) / total;
}
