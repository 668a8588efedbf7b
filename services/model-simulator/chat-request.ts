import { badParameter, badRequest, type FieldProblem, invalidFields } from "./errors.ts";
import { collectFields, type Fields, isObject, type JsonObject, readFields } from "./fields.ts";
import type { Random } from "./random.ts";
import {
  checkCharacters,
  checkLogprobs,
  checkPromptTokens,
  readSampling,
  SAMPLING_FIELDS,
  type Sampling,
} from "./sampling.ts";
import { instanceWriter } from "./schema.ts";
import type { Simulator } from "./simulator.ts";
import { chatCharacters, chatPrompt, type Prompt, type TemplateMessage } from "./tokenizer.ts";
import { readToolChoice, type ToolChoice } from "./tools.ts";

const CHAT_FIELDS = {
  ...SAMPLING_FIELDS,
  messages: "array",
  max_completion_tokens: "integer",
  logprobs: "boolean",
  top_logprobs: "integer",
  tools: "array",
  tool_choice: "any",
  response_format: "object",
  add_generation_prompt: "boolean",
  continue_final_message: "boolean",
} as const;

type ChatFields = Fields<typeof CHAT_FIELDS>;

type JsonWriter = (random: Random) => string;

export interface ChatRequest {
  readonly fields: ChatFields;
  readonly model: { readonly name: string; readonly adapter: string | undefined };
  readonly prompts: readonly Prompt[];
  readonly sampling: Sampling;
  readonly toolChoice: ToolChoice | undefined;
  /** A JSON answer as text; undefined for a plain text. */
  readonly writeJson: JsonWriter | undefined;
  /** Alternatives per token; undefined without log probabilities. */
  readonly topLogprobs: number | undefined;
}

function partText(part: unknown, loc: string, modelName: string): string {
  const type = isObject(part) ? part.type : undefined;
  if (type === "image_url" || type === "input_audio" || type === "audio_url" || type === "video_url") {
    throw badRequest(`${modelName} is not a multimodal model`);
  }
  const text = isObject(part) ? part.text : part;
  if (typeof text === "string") return text;
  throw invalidFields([{ type: "string_type", loc, msg: "Input should be a valid string", input: text }]);
}

function contentText(content: unknown, loc: string, modelName: string): string {
  if (content === undefined || content === null) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content)) {
    return content.map((part, index) => partText(part, `${loc}.${index}`, modelName)).join("\n");
  }
  throw invalidFields([{ type: "string_type", loc, msg: "Input should be a valid string", input: content }]);
}

function callsText(calls: readonly unknown[]): string {
  return calls
    .map((call) => `<tool_call>\n${JSON.stringify(isObject(call) ? call.function : call)}\n</tool_call>`)
    .join("\n");
}

function readMessage(message: unknown, index: number, modelName: string): TemplateMessage {
  const loc = `body.messages.${index}`;
  const problems: FieldProblem[] = [];
  const input: JsonObject = isObject(message) ? message : {};
  const spec = { role: "string", tool_calls: "array" } as const;
  const fields = collectFields(input, spec, { loc, required: ["role"], problems });
  if (problems.length > 0) throw invalidFields(problems);
  const text = contentText(input.content, `${loc}.content`, modelName);
  const content = fields.tool_calls ? [text, callsText(fields.tool_calls)].join("\n") : text;
  return { role: fields.role ?? "user", content };
}

function readMessages(messages: readonly unknown[], modelName: string): TemplateMessage[] {
  if (messages.length === 0) {
    throw badRequest("Cannot apply chat template to an empty conversation. Provide at least one message.");
  }
  return messages.map((message, index) => readMessage(message, index, modelName));
}

function promptOf(messages: readonly TemplateMessage[], fields: ChatFields, simulator: Simulator): Prompt {
  const limits = simulator.config;
  const template = {
    generationPrompt: fields.add_generation_prompt ?? true,
    continueLast: fields.continue_final_message ?? false,
    most: limits.maxModelLen,
  };
  checkCharacters(chatCharacters(messages, template), limits);
  const prompt = chatPrompt(messages, template);
  checkPromptTokens(prompt, 1, limits);
  return prompt;
}

const ANY_OBJECT = { type: "object", properties: { answer: { type: "string" } } };

function readResponseFormat(format: JsonObject | undefined): JsonWriter | undefined {
  const type = format?.type;
  if (format === undefined || type === "text") return undefined;
  if (type === "json_object") return instanceWriter(ANY_OBJECT);
  if (type !== "json_schema") {
    const expected = "'text', 'json_object' or 'json_schema'";
    const problem = { loc: "body.response_format.type", input: type, ctx: { expected } };
    throw invalidFields([{ type: "literal_error", msg: `Input should be ${expected}`, ...problem }]);
  }
  const definition = format.json_schema;
  if (!isObject(definition)) {
    const problem = { loc: "body.response_format.json_schema", input: definition };
    throw invalidFields([{ type: "missing", msg: "Field required", ...problem }]);
  }
  return instanceWriter(definition.schema);
}

function readTopLogprobs(fields: ChatFields): number | undefined {
  if (fields.top_logprobs !== undefined && fields.logprobs !== true) {
    throw badParameter("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs");
  }
  if (fields.logprobs !== true) return undefined;
  const top = fields.top_logprobs ?? 0;
  checkLogprobs(top);
  return top;
}

/** Whether the answer may be a call: after the tools' results it is a text. */
function conversationOf(messages: readonly TemplateMessage[]) {
  const question = messages.findLast(({ role }) => role === "user")?.content ?? "";
  return { question, hasToolResult: messages.at(-1)?.role === "tool" };
}

/** Reads a chat; `batch` takes a list of conversations instead of one. Throws what vLLM answers to a wrong one. */
export function readChat(simulator: Simulator, body: unknown, batch: boolean): ChatRequest {
  const fields = readFields(body, CHAT_FIELDS, { loc: "body", required: ["messages"] });
  const { config } = simulator;
  const topLogprobs = readTopLogprobs(fields);
  checkLogprobs(fields.prompt_logprobs ?? 0);
  const maxTokens = fields.max_completion_tokens ?? fields.max_tokens;
  const sampling = readSampling(fields, { maxTokens, limits: config });
  const model = simulator.models.resolve(fields.model);
  const conversations = batch ? (fields.messages ?? []) : [fields.messages];
  const read = conversations.map((messages) =>
    readMessages(Array.isArray(messages) ? messages : [], model.name),
  );
  const conversation = conversationOf(read[0] ?? []);
  const toolFields = { tools: fields.tools, tool_choice: fields.tool_choice };
  const toolChoice = readToolChoice(toolFields, conversation, config);
  return {
    fields,
    model,
    prompts: read.map((messages) => promptOf(messages, fields, simulator)),
    sampling,
    toolChoice,
    writeJson: readResponseFormat(fields.response_format),
    topLogprobs,
  };
}
