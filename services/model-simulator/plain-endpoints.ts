import { badRequest, invalidFields } from "./errors.ts";
import { isObject, readFields } from "./fields.ts";
import { type Exchange, send, sendJson } from "./http.ts";
import { checkCharacters } from "./sampling.ts";
import type { Simulator } from "./simulator.ts";
import {
  chatCharacters,
  chatPrompt,
  decode,
  type TemplateMessage,
  textPrompt,
  toPieces,
} from "./tokenizer.ts";

export const VERSION = "0.32.0";

export function health(simulator: Simulator, exchange: Exchange) {
  send(exchange, simulator.phase === "dead" ? 503 : 200, { body: "" });
}

export function version(_simulator: Simulator, exchange: Exchange) {
  sendJson(exchange, 200, { version: VERSION });
}

export async function metrics(simulator: Simulator, exchange: Exchange) {
  const body = await simulator.metrics.registry.metrics();
  send(exchange, 200, { type: "text/plain; version=1.0.0; charset=utf-8", body });
}

export function listModels(simulator: Simulator, exchange: Exchange) {
  sendJson(exchange, 200, simulator.models.list());
}

const LOAD_FIELDS = { lora_name: "string", lora_path: "string" } as const;

export function loadAdapter(simulator: Simulator, exchange: Exchange, body: unknown) {
  const fields = readFields(body, LOAD_FIELDS, { loc: "body", required: ["lora_name", "lora_path"] });
  const { lora_name: name = "", lora_path: path = "" } = fields;
  simulator.models.load({ name, path });
  send(exchange, 200, { body: `Success: LoRA adapter '${name}' added successfully.` });
}

export function unloadAdapter(simulator: Simulator, exchange: Exchange, body: unknown) {
  const { lora_name: name = "" } = readFields(
    body,
    { lora_name: "string" },
    { loc: "body", required: ["lora_name"] },
  );
  simulator.models.unload(name);
  send(exchange, 200, { body: `Success: LoRA adapter '${name}' removed successfully.` });
}

const TOKENIZE_FIELDS = {
  model: "string",
  prompt: "string",
  messages: "array",
  add_generation_prompt: "boolean",
  return_token_strs: "boolean",
} as const;

function templateMessage(message: unknown, index: number): TemplateMessage {
  const { role, content } = isObject(message) ? message : {};
  if (typeof role === "string" && typeof content === "string") return { role, content };
  const loc = `body.messages.${index}`;
  throw invalidFields([{ type: "missing", loc, msg: "Field required", input: message }]);
}

export function tokenize(simulator: Simulator, exchange: Exchange, body: unknown) {
  const fields = readFields(body, TOKENIZE_FIELDS);
  simulator.models.resolve(fields.model);
  const { maxModelLen } = simulator.config;
  let prompt = textPrompt("");
  if (fields.messages) {
    const messages = fields.messages.map(templateMessage);
    const template = { generationPrompt: fields.add_generation_prompt ?? true, continueLast: false };
    checkCharacters(chatCharacters(messages, template), simulator.config);
    prompt = chatPrompt(messages, template);
  } else {
    const text = fields.prompt ?? "";
    checkCharacters(text.length, simulator.config);
    prompt = textPrompt(text);
  }
  sendJson(exchange, 200, {
    count: prompt.ids.length,
    max_model_len: maxModelLen,
    tokens: prompt.ids,
    token_strs: fields.return_token_strs === true ? toPieces(prompt.ids).map(({ text }) => text) : null,
  });
}

export function detokenize(simulator: Simulator, exchange: Exchange, body: unknown) {
  const fields = readFields(
    body,
    { model: "string", tokens: "array" },
    { loc: "body", required: ["tokens"] },
  );
  simulator.models.resolve(fields.model);
  const ids = (fields.tokens ?? []).map((id, index) => {
    if (typeof id === "number" && Number.isInteger(id)) return id;
    const loc = `body.tokens.${index}`;
    throw invalidFields([{ type: "int_type", loc, msg: "Input should be a valid integer", input: id }]);
  });
  try {
    sendJson(exchange, 200, { prompt: decode(ids) });
  } catch (error) {
    throw error instanceof RangeError ? badRequest(error.message) : error;
  }
}
