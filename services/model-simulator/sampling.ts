import { badParameter, badRequest, invalidFields, pythonFloat } from "./errors.ts";
import { type FieldKinds, type Fields, isObject, type JsonObject } from "./fields.ts";
import { type Prompt, VOCABULARY_SIZE } from "./tokenizer.ts";

/** Fields that chats and completions share. */
export const SAMPLING_FIELDS = {
  model: "string",
  max_tokens: "integer",
  min_tokens: "integer",
  n: "integer",
  temperature: "number",
  top_p: "number",
  presence_penalty: "number",
  frequency_penalty: "number",
  seed: "integer",
  stop: "any",
  stop_token_ids: "array",
  include_stop_str_in_output: "boolean",
  ignore_eos: "boolean",
  logit_bias: "object",
  prompt_logprobs: "integer",
  echo: "boolean",
  stream: "boolean",
  stream_options: "object",
  request_id: "string",
  return_token_ids: "boolean",
} as const satisfies FieldKinds;

export type SamplingFields = Fields<typeof SAMPLING_FIELDS>;

/** Limits of the server that a request is held to. */
export interface ModelLimits {
  readonly maxModelLen: number;
  readonly maxCharactersPerToken: number;
}

export interface Sampling {
  readonly n: number;
  readonly seed: number | undefined;
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stop: readonly string[];
  readonly stopTokenIds: ReadonlySet<number>;
  readonly includeStop: boolean;
  readonly returnTokenIds: boolean;
}

const MAX_CHOICES = 16_384;
const MAX_LOGPROBS = 20;
const MAX_STOPS = 4;

function readStop(stop: unknown): readonly string[] {
  if (stop === undefined || stop === null) return [];
  if (typeof stop === "string") return stop === "" ? [] : [stop];
  const notText = {
    type: "string_type",
    loc: "body.stop",
    msg: "Input should be a valid string",
    input: stop,
  };
  if (!Array.isArray(stop)) throw invalidFields([notText]);
  if (stop.length > MAX_STOPS) {
    const msg = `List should have at most ${MAX_STOPS} items after validation, not ${stop.length}`;
    const ctx = { field_type: "List", max_length: MAX_STOPS, actual_length: stop.length };
    throw invalidFields([notText, { type: "too_long", loc: "body.stop", msg, input: stop, ctx }]);
  }
  return stop.map((entry, index) => {
    if (typeof entry === "string" && entry !== "") return entry;
    throw invalidFields([notText, { ...notText, loc: `body.stop.${index}`, input: entry }]);
  });
}

function readTokenIds(ids: readonly unknown[] | undefined): ReadonlySet<number> {
  const read = (ids ?? []).map((id, index) => {
    if (typeof id === "number" && Number.isInteger(id)) return id;
    const loc = `body.stop_token_ids.${index}`;
    throw invalidFields([{ type: "int_type", loc, msg: "Input should be a valid integer", input: id }]);
  });
  return new Set(read);
}

function checkChoices(fields: SamplingFields): number {
  const n = fields.n ?? 1;
  if (n < 1) throw badRequest(`n must be at least 1, got ${n}.`);
  if (n > MAX_CHOICES) {
    throw badRequest(
      `n must be at most ${MAX_CHOICES}, got ${n}. To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable.`,
    );
  }
  if (n > 1 && fields.temperature === 0) {
    throw badRequest(`n must be 1 when using greedy sampling, got ${n}.`);
  }
  return n;
}

function checkRange(name: string, value: number | undefined, range: { min: number; max: number }) {
  if (value === undefined || (value >= range.min && value <= range.max)) return;
  const got = pythonFloat(value);
  throw badParameter(`${name} must be in [${range.min}, ${range.max}], got ${got}.`, name, got);
}

function checkTemperature(temperature: number | undefined) {
  if (temperature !== undefined && temperature < 0) {
    const got = pythonFloat(temperature);
    throw badParameter(`temperature must be non-negative, got ${got}.`, "temperature", got);
  }
  checkRange("temperature", temperature, { min: 0, max: 2 });
}

function checkTopP(topP: number | undefined) {
  if (topP === undefined || (topP > 0 && topP <= 1)) return;
  const got = pythonFloat(topP);
  throw badParameter(`top_p must be in (0, 1], got ${got}.`, "top_p", got);
}

function checkLogitBias(bias: JsonObject | undefined) {
  const outside = Object.keys(bias ?? {}).filter((id) => !(Number(id) >= 0 && Number(id) < VOCABULARY_SIZE));
  if (outside.length === 0) return;
  const list = `[${outside.join(", ")}]`;
  throw badParameter(
    `token_id(s) ${list} in logit_bias contain out-of-vocab token ids. Vocabulary size: ${VOCABULARY_SIZE}`,
    "logit_bias",
    list,
  );
}

function checkMaxTokens(maxTokens: number | undefined, minTokens: number, limits: ModelLimits) {
  if (maxTokens === undefined) return;
  if (maxTokens < 1) {
    throw badParameter(`max_tokens must be at least 1, got ${maxTokens}.`, "max_tokens", String(maxTokens));
  }
  if (maxTokens > limits.maxModelLen) {
    throw badParameter(
      `max_tokens=${maxTokens} cannot be greater than max_model_len=${limits.maxModelLen}. Please request fewer output tokens.`,
      "max_tokens",
      String(maxTokens),
    );
  }
  if (minTokens > maxTokens) {
    throw badRequest(`min_tokens must be less than or equal to max_tokens=${maxTokens}, got ${minTokens}.`);
  }
}

export interface SamplingOptions {
  readonly maxTokens: number | undefined;
  readonly limits: ModelLimits;
}

/** Checks what can be checked without the prompt. */
export function readSampling(fields: SamplingFields, { maxTokens, limits }: SamplingOptions): Sampling {
  const stop = readStop(fields.stop);
  const minTokens = fields.min_tokens ?? 0;
  if (fields.stream_options !== undefined && fields.stream !== true) {
    throw badParameter("Stream options can only be defined when `stream=True`.", "stream_options");
  }
  const n = checkChoices(fields);
  checkTemperature(fields.temperature);
  checkTopP(fields.top_p);
  checkRange("presence_penalty", fields.presence_penalty, { min: -2, max: 2 });
  checkRange("frequency_penalty", fields.frequency_penalty, { min: -2, max: 2 });
  checkMaxTokens(maxTokens, minTokens, limits);
  checkLogitBias(fields.logit_bias);
  return {
    n,
    seed: fields.seed,
    maxTokens,
    minTokens,
    ignoreEos: fields.ignore_eos ?? false,
    stop,
    stopTokenIds: readTokenIds(fields.stop_token_ids),
    includeStop: fields.include_stop_str_in_output ?? false,
    returnTokenIds: fields.return_token_ids ?? false,
  };
}

export function checkLogprobs(count: number) {
  if (count <= MAX_LOGPROBS) return;
  throw badParameter(
    `Requested sample logprobs of ${count}, which is greater than max allowed: ${MAX_LOGPROBS}`,
    "logprobs",
    String(count),
  );
}

function contextExceeded(detail: string, param: string, limits: ModelLimits & { readonly value: number }) {
  return badParameter(
    `This model's maximum context length is ${limits.maxModelLen} tokens. However, your prompt contains ${detail}. Please reduce the length of the input prompt.`,
    param,
    String(limits.value),
  );
}

/** Refuses a text by its length before any time is spent on its tokens. */
export function checkCharacters(characters: number, limits: ModelLimits) {
  const bound = limits.maxModelLen * limits.maxCharactersPerToken;
  if (characters <= bound) return;
  const detail = `${characters} characters (more than ${bound} characters, which is the upper bound for ${limits.maxModelLen} input tokens)`;
  throw contextExceeded(detail, "input_text", { ...limits, value: characters });
}

/** A prompt must leave room for `room` tokens. vLLM stops counting one token past the window. */
export function checkPromptTokens(prompt: Prompt, room: number, limits: ModelLimits) {
  if (prompt.ids.length + room <= limits.maxModelLen) return;
  const value = Math.min(prompt.ids.length, limits.maxModelLen + 1);
  const detail = `at least ${value} input tokens, which exceeds this limit even without any output tokens`;
  throw contextExceeded(detail, "input_tokens", { ...limits, value });
}

export interface StreamOptions {
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
}

export function readStreamOptions(options: JsonObject | undefined, forceUsage: boolean): StreamOptions {
  const given = isObject(options) ? options : {};
  const includeUsage = given.include_usage === true || forceUsage;
  return {
    includeUsage,
    continuousUsage: (includeUsage && given.continuous_usage_stats === true) || forceUsage,
  };
}
