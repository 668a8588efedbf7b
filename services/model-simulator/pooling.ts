import { readPrompts } from "./completions.ts";
import { badRequest, engineDead, invalidFields, notFound } from "./errors.ts";
import { isObject, readFields } from "./fields.ts";
import { admit } from "./generation.ts";
import { type Exchange, onClientGone, sendError, sendJson } from "./http.ts";
import { newId, secondsNow } from "./identity.ts";
import { checkCharacters, checkPromptTokens } from "./sampling.ts";
import type { Simulator } from "./simulator.ts";
import { decode, encode } from "./tokenizer.ts";
import { cosine, embed, toBase64 } from "./vectors.ts";

// As at OpenAI; each input becomes a vector in memory, whatever its length.
const MAX_INPUTS = 2048;

interface Pooled {
  readonly vector: Float32Array;
  readonly tokens: number;
}

function resolveModel(simulator: Simulator, name: string | undefined): string {
  const served = simulator.config.servedModelNames;
  if (name === undefined || served.includes(name)) return name ?? simulator.models.defaultName;
  throw notFound(`The model \`${name}\` does not exist.`);
}

function pool(simulator: Simulator, input: string | number[], truncateTo?: number): Pooled {
  const { config } = simulator;
  if (typeof input === "string" && truncateTo === undefined) checkCharacters(input.length, config);
  const ids = typeof input === "string" ? encode(input, truncateTo ?? config.maxModelLen) : input;
  const kept = truncateTo === undefined ? ids : ids.slice(0, truncateTo);
  checkPromptTokens({ ids: kept }, 0, config);
  return { vector: embed(decode(kept), config.embeddingDimensions), tokens: kept.length };
}

// An embedding takes one slot for the time of a first token.
function schedule(simulator: Simulator, exchange: Exchange, work: { tokens: number; done: () => void }) {
  const withdraw = simulator.scheduler.submit({
    promptTokens: work.tokens,
    cachedTokens: 0,
    adapter: undefined,
    incremental: false,
    hangAfter: exchange.fault?.hang,
    plan: () => ({ pieces: [], finishReason: "stop", stopReason: null }),
    progress: () => undefined,
    finished: work.done,
    failed: () => sendError(exchange, engineDead()),
  });
  onClientGone(exchange, withdraw);
}

function poolingUsage(tokens: number) {
  return {
    prompt_tokens: tokens,
    total_tokens: tokens,
    completion_tokens: 0,
    prompt_tokens_details: null,
    completion_tokens_details: null,
  };
}

function totalTokens(pooled: readonly Pooled[]): number {
  return pooled.reduce((sum, { tokens }) => sum + tokens, 0);
}

const EMBEDDING_FIELDS = {
  model: "string",
  input: "any",
  encoding_format: "string",
  dimensions: "integer",
  truncate_prompt_tokens: "integer",
} as const;

function checkCount(inputs: number) {
  if (inputs > MAX_INPUTS) throw badRequest(`At most ${MAX_INPUTS} inputs are allowed, got ${inputs}.`);
}

function readInput(simulator: Simulator, body: unknown) {
  const fields = readFields(body, EMBEDDING_FIELDS, { loc: "body", required: ["input"] });
  const model = resolveModel(simulator, fields.model);
  const inputs = readPrompts(fields.input, "input");
  if (inputs.length === 0) throw badRequest("You must pass at least one prompt");
  checkCount(inputs.length);
  return { fields, model, inputs };
}

function checkDimensions(simulator: Simulator, dimensions: number | undefined, model: string): number {
  const { embeddingDimensions, matryoshka } = simulator.config;
  if (dimensions === undefined) return embeddingDimensions;
  if (!matryoshka) {
    throw badRequest(
      `Model '${model}' does not support Matryoshka embeddings; dimensions must be unset (received dimensions=${dimensions}).`,
    );
  }
  if (dimensions >= 1 && dimensions <= embeddingDimensions) return dimensions;
  throw badRequest(
    `dimensions must be from 1 to ${embeddingDimensions} for model '${model}' (received dimensions=${dimensions}).`,
  );
}

function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions === vector.length) return vector;
  const head = vector.subarray(0, dimensions);
  const length = Math.sqrt(cosine(head, head)) || 1;
  return head.map((value) => value / length);
}

function readFormat(format: string | undefined): (vector: Float32Array) => string | number[] {
  if (format === undefined || format === "float") return (vector) => [...vector];
  if (format === "base64") return toBase64;
  const expected = "'float' or 'base64'";
  const problem = { loc: "body.encoding_format", input: format, ctx: { expected } };
  throw invalidFields([{ type: "literal_error", msg: `Input should be ${expected}`, ...problem }]);
}

function readTruncation(simulator: Simulator, tokens: number | undefined): number | undefined {
  if (tokens === undefined) return undefined;
  const { maxModelLen } = simulator.config;
  if (tokens < -1 || tokens > maxModelLen) {
    throw badRequest(`truncate_prompt_tokens must be from -1 to ${maxModelLen}, got ${tokens}.`);
  }
  return tokens === -1 ? maxModelLen : tokens;
}

export function embeddings(simulator: Simulator, exchange: Exchange, body: unknown) {
  const { fields, model, inputs } = readInput(simulator, body);
  const dimensions = checkDimensions(simulator, fields.dimensions, model);
  const format = readFormat(fields.encoding_format);
  const truncation = readTruncation(simulator, fields.truncate_prompt_tokens);
  const pooled = inputs.map((input) => pool(simulator, input, truncation));
  admit(simulator);
  const tokens = totalTokens(pooled);
  const done = () => {
    const data = pooled.map(({ vector }, index) => ({
      index,
      object: "embedding",
      embedding: format(shortened(vector, dimensions)),
    }));
    const head = { id: newId("embd-"), object: "list", created: secondsNow(), model };
    sendJson(exchange, 200, { ...head, data, usage: poolingUsage(tokens) });
  };
  schedule(simulator, exchange, { tokens, done });
}

export function pooling(simulator: Simulator, exchange: Exchange, body: unknown) {
  const { model, inputs } = readInput(simulator, body);
  const pooled = inputs.map((input) => pool(simulator, input));
  admit(simulator);
  const tokens = totalTokens(pooled);
  const done = () => {
    const data = pooled.map(({ vector }, index) => ({ index, object: "pooling", data: [...vector] }));
    const head = { id: newId("pooling-"), object: "list", created: secondsNow(), model };
    sendJson(exchange, 200, { ...head, data, usage: poolingUsage(tokens) });
  };
  schedule(simulator, exchange, { tokens, done });
}

function readTexts(value: unknown, field: string): string[] {
  const values = Array.isArray(value) ? value : [value];
  checkCount(values.length);
  return values.map((entry) => {
    const text = isObject(entry) ? entry.text : entry;
    if (typeof text === "string") return text;
    const problem = { loc: `body.${field}`, input: entry };
    throw invalidFields([{ type: "string_type", msg: "Input should be a valid string", ...problem }]);
  });
}

const SCORE_FIELDS = { model: "string", text_1: "any", text_2: "any" } as const;

export function score(simulator: Simulator, exchange: Exchange, body: unknown) {
  const fields = readFields(body, SCORE_FIELDS, { loc: "body", required: ["text_1", "text_2"] });
  const model = resolveModel(simulator, fields.model);
  const firsts = readTexts(fields.text_1, "text_1").map((text) => pool(simulator, text));
  const seconds = readTexts(fields.text_2, "text_2").map((text) => pool(simulator, text));
  if (firsts.length !== 1 && firsts.length !== seconds.length)
    throw badRequest("Input lengths must be either 1:1, 1:N or N:N");
  admit(simulator);
  const pairs = seconds.map((second, index) => [firsts.length === 1 ? firsts[0] : firsts[index], second]);
  const tokens = totalTokens(pairs.flat().filter((side) => side !== undefined));
  const done = () => {
    const data = pairs.map(([first, second], index) => ({
      index,
      object: "score",
      score: first && second ? cosine(first.vector, second.vector) : 0,
    }));
    const head = { id: newId("score-"), object: "list", created: secondsNow(), model };
    sendJson(exchange, 200, { ...head, data, usage: poolingUsage(tokens) });
  };
  schedule(simulator, exchange, { tokens, done });
}

const RERANK_FIELDS = { model: "string", query: "string", documents: "array", top_n: "integer" } as const;

export function rerank(simulator: Simulator, exchange: Exchange, body: unknown) {
  const fields = readFields(body, RERANK_FIELDS, { loc: "body", required: ["query", "documents"] });
  const model = resolveModel(simulator, fields.model);
  const query = pool(simulator, fields.query ?? "");
  const texts = readTexts(fields.documents ?? [], "documents");
  const documents = texts.map((text) => ({ text, ...pool(simulator, text) }));
  admit(simulator);
  const tokens = totalTokens(documents) + query.tokens * documents.length;
  const done = () => {
    const results = documents
      .map(({ text, vector }, index) => ({
        index,
        document: { text, multi_modal: null },
        relevance_score: cosine(query.vector, vector),
      }))
      .sort((left, right) => right.relevance_score - left.relevance_score)
      .slice(0, fields.top_n && fields.top_n > 0 ? fields.top_n : undefined);
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    sendJson(exchange, 200, { id: newId("score-"), model, usage, results });
  };
  schedule(simulator, exchange, { tokens, done });
}
