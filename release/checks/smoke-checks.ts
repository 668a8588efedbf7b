import { randomUUID } from "node:crypto";
import { z } from "zod";
import { ask, parseJson, type Question, type Reply, type Server, shown } from "./ask.ts";

export interface SmokeModel {
  readonly name: string;
  readonly task: "chat" | "embeddings";
}

/** One thing to try. */
export interface Check {
  readonly name: string;
  /** Everything that is wrong. */
  run(server: Server): Promise<string[]>;
}

const CHAT_PATH = "/v1/chat/completions";
const MODELS_PATH = "/v1/models";
const MESSAGES = [{ role: "user", content: "Say hello." }];
const MAX_TOKENS = 8;
// Of the problems of one answer's shape: a list may have thousands that are the same.
const MAX_TOLD = 5;
// No model is called so: the name is new every time.
const unknownModel = () => `no-such-model-${randomUUID()}`;

const count = z.int().nonnegative();
const usage = z.looseObject({
  prompt_tokens: count.min(1),
  completion_tokens: count.min(1),
  total_tokens: count.min(2),
});
const finish = z.string().min(1);
const message = z.looseObject({ role: z.literal("assistant"), content: z.string().nullish() });
const chat = z.looseObject({
  choices: z.array(z.looseObject({ message, finish_reason: finish })).min(1),
  usage,
});
const chunk = z.looseObject({
  choices: z.array(z.looseObject({ finish_reason: z.string().nullish() })),
  usage: usage.nullish(),
});
const modelList = z.looseObject({ data: z.array(z.looseObject({ id: z.string() })) });
const vector = z.array(z.number()).min(1);
const embeddings = z.looseObject({ data: z.array(z.looseObject({ embedding: vector })).min(1) });
const errorBody = z.strictObject({
  error: z.strictObject({
    message: z.string().min(1),
    type: z.string().min(1),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});

function shapeProblems(schema: z.ZodType, value: unknown): string[] {
  const issues = schema.safeParse(value).error?.issues ?? [];
  const told = issues
    .slice(0, MAX_TOLD)
    .map(({ path, message }) => `${path.join(".") || "the answer"}: ${message}`);
  return issues.length > MAX_TOLD ? [...told, `${issues.length - MAX_TOLD} more like these`] : told;
}

function statusProblems({ status, text }: Reply, expected: number, { key }: Server): string[] {
  return status === expected ? [] : [`answered ${status} instead of ${expected}: ${shown(text, key)}`];
}

function typeProblems({ headers }: Reply, expected: string): string[] {
  const type = headers["content-type"] ?? "none";
  return type.startsWith(expected) ? [] : [`has the content type ${type} instead of ${expected}`];
}

/** What is wrong with an answer in JSON. An answer with another status is not looked into. */
function jsonProblems(reply: Reply, server: Server, { status = 200, schema }: Expected): string[] {
  const unexpected = statusProblems(reply, status, server);
  if (unexpected.length > 0) return unexpected;
  const body = parseJson(reply.text);
  const shape = body === undefined ? ["the answer is no JSON"] : shapeProblems(schema, body);
  return [...typeProblems(reply, "application/json"), ...shape];
}

interface Expected {
  readonly status?: number;
  readonly schema: z.ZodType;
}

const ready: Check = {
  name: "is ready",
  async run(server) {
    return statusProblems(await ask(server, { path: "/ready", anonymous: true }), 200, server);
  },
};

function listsModels(models: readonly SmokeModel[]): Check {
  return {
    name: "lists its models",
    async run(server) {
      const reply = await ask(server, { path: MODELS_PATH });
      const problems = jsonProblems(reply, server, { schema: modelList });
      const { data = [] } = modelList.safeParse(parseJson(reply.text)).data ?? {};
      if (problems.length > 0) return problems;
      const missing = models.filter(({ name }) => !data.some(({ id }) => id === name));
      return missing.map(({ name }) => `does not list ${name}`);
    },
  };
}

function chatBody(model: string, more: object = {}) {
  return { model, messages: MESSAGES, max_tokens: MAX_TOKENS, ...more };
}

function chats({ name: model }: SmokeModel): Check {
  return {
    name: `${model} answers a chat`,
    async run(server) {
      const reply = await ask(server, { method: "POST", path: CHAT_PATH, body: chatBody(model) });
      return jsonProblems(reply, server, { schema: chat });
    },
  };
}

function streams({ name: model }: SmokeModel): Check {
  return {
    name: `${model} streams a chat`,
    async run(server) {
      const body = chatBody(model, { stream: true, stream_options: { include_usage: true } });
      const reply = await ask(server, { method: "POST", path: CHAT_PATH, body });
      const unexpected = statusProblems(reply, 200, server);
      if (unexpected.length > 0) return unexpected;
      return [...typeProblems(reply, "text/event-stream"), ...streamProblems(reply.text)];
    },
  };
}

function streamProblems(text: string): string[] {
  const events = text
    .split(/\r?\n/)
    .flatMap((line) => (line.startsWith("data:") ? [line.slice(5).trim()] : []));
  const problems: string[] = [];
  if (events.at(-1) !== "[DONE]") problems.push("does not end with [DONE]");
  const chunks = events
    .filter((event) => event !== "[DONE]")
    .map((event) => chunk.safeParse(parseJson(event)));
  const read = chunks.flatMap(({ data }) => data ?? []);
  if (read.length < chunks.length) problems.push("has an event that is no chunk of a chat");
  const reasons = read.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason));
  if (!reasons.some((reason) => typeof reason === "string")) problems.push("has no finish_reason");
  if (!read.some((event) => event.usage)) problems.push("has no usage though it was asked for");
  return problems;
}

function embeds({ name: model }: SmokeModel): Check {
  return {
    name: `${model} embeds a text`,
    async run(server) {
      const body = { model, input: "A text to embed." };
      const reply = await ask(server, { method: "POST", path: "/v1/embeddings", body });
      return jsonProblems(reply, server, { schema: embeddings });
    },
  };
}

interface Refusal {
  readonly name: string;
  readonly question: Question;
  readonly status: number;
  readonly code?: string;
}

function refuses({ name, question, status, code }: Refusal): Check {
  return {
    name,
    async run(server) {
      const reply = await ask(server, question);
      const problems = jsonProblems(reply, server, { status, schema: errorBody });
      const told = errorBody.safeParse(parseJson(reply.text)).data?.error.code;
      if (problems.length > 0 || code === undefined || told === code) return problems;
      return [`has the code ${told} instead of ${code}`];
    },
  };
}

const post = { method: "POST", path: CHAT_PATH } as const;

const refusals = ([model]: readonly SmokeModel[]): Check[] =>
  [
    {
      name: "refuses a request without key",
      question: { ...post, body: chatBody(model?.name ?? ""), anonymous: true },
      status: 401,
    },
    {
      name: "refuses an unknown model",
      question: { ...post, body: chatBody(unknownModel()) },
      status: 404,
      code: "model_not_found",
    },
    { name: "refuses broken JSON", question: { ...post, body: '{"model":' }, status: 400 },
    { name: "refuses an unknown path", question: { path: "/v1/no-such-path" }, status: 404 },
  ].map(refuses);

const echoesId: Check = {
  name: "echoes x-request-id",
  async run(server) {
    const id = `smoke-${randomUUID()}`;
    const { headers } = await ask(server, { path: MODELS_PATH, headers: { "x-request-id": id } });
    const echoed = headers["x-request-id"];
    return echoed === id ? [] : [`answered ${echoed ?? "none"} instead of the id that was sent`];
  },
};

const ofTask = (models: readonly SmokeModel[], task: SmokeModel["task"]) =>
  models.filter((model) => model.task === task);

/** All checks by the models that a release serves. */
export const CHECKS: readonly ((models: readonly SmokeModel[]) => Check[])[] = [
  () => [ready],
  (models) => [listsModels(models)],
  (models) => ofTask(models, "chat").flatMap((model) => [chats(model), streams(model)]),
  (models) => ofTask(models, "embeddings").map(embeds),
  refusals,
  () => [echoesId],
];
