import { chunkEnd } from "./chat-stream.ts";
import { badParameter, engineDead, invalidFields } from "./errors.ts";
import { type Fields, readFields } from "./fields.ts";
import {
  admit,
  checkAnswerSize,
  type Generation,
  type GenerationListener,
  generate,
  type Usage,
} from "./generation.ts";
import { EventStream, type Exchange, sendError, sendJson } from "./http.ts";
import { newId, secondsNow } from "./identity.ts";
import { sentences } from "./language.ts";
import { completionLogprobs, promptLogprobs } from "./logprobs.ts";
import type { Plan } from "./plan.ts";
import {
  checkCharacters,
  checkLogprobs,
  checkPromptTokens,
  readSampling,
  readStreamOptions,
  SAMPLING_FIELDS,
  type StreamOptions,
} from "./sampling.ts";
import type { Simulator } from "./simulator.ts";
import { decode, type Piece, type Prompt, textPrompt, toPieces, VOCABULARY_SIZE } from "./tokenizer.ts";
import { finalUsage, runningUsage, wholeUsage } from "./usage.ts";

const COMPLETION_FIELDS = { ...SAMPLING_FIELDS, prompt: "any", logprobs: "integer" } as const;
const DEFAULT_MAX_TOKENS = 16;

interface Completion {
  readonly fields: Fields<typeof COMPLETION_FIELDS>;
  readonly generation: Generation;
}

function isTokenList(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((id) => Number.isInteger(id) && id >= 0 && id < VOCABULARY_SIZE)
  );
}

/** A text, tokens, or a list of either. Throws a 400 for anything else. */
export function readPrompts(value: unknown, field: string): (string | number[])[] {
  if (typeof value === "string") return [value];
  if (isTokenList(value)) return [value];
  if (!Array.isArray(value)) {
    const problem = { loc: `body.${field}`, input: value };
    throw invalidFields([{ type: "string_type", msg: "Input should be a valid string", ...problem }]);
  }
  return value.map((entry, index) => {
    if (typeof entry === "string" || isTokenList(entry)) return entry;
    const problem = { loc: `body.${field}.${index}`, input: entry };
    throw invalidFields([{ type: "string_type", msg: "Input should be a valid string", ...problem }]);
  });
}

function promptOf(input: string | number[], simulator: Simulator): Prompt {
  if (typeof input === "string") checkCharacters(input.length, simulator.config);
  const prompt = typeof input === "string" ? textPrompt(input, simulator.config.maxModelLen) : { ids: input };
  checkPromptTokens(prompt, 1, simulator.config);
  return prompt;
}

function promptEntries(fields: Completion["fields"]): number {
  const { echo, logprobs, return_token_ids: ids, prompt_logprobs: top } = fields;
  const repeated = echo === true || ids === true || top !== undefined;
  return repeated ? 1 + Math.max(top ?? 0, (echo === true && logprobs) || 0) : 0;
}

function readCompletion(simulator: Simulator, body: unknown): Completion {
  const fields = readFields(body, COMPLETION_FIELDS);
  const { config } = simulator;
  const inputs = readPrompts(fields.prompt ?? "", "prompt").filter((input) => input.length > 0);
  if (inputs.length === 0) {
    throw badParameter("Either prompt or prompt_embeds must be provided and non-empty.", "prompt");
  }
  checkLogprobs(fields.logprobs ?? 0);
  checkLogprobs(fields.prompt_logprobs ?? 0);
  const sampling = readSampling(fields, { maxTokens: fields.max_tokens, limits: config });
  const model = simulator.models.resolve(fields.model);
  const generation: Generation = {
    id: fields.request_id ? `cmpl-${fields.request_id}` : newId("cmpl-"),
    created: secondsNow(),
    modelName: model.name,
    adapter: model.adapter,
    prompts: inputs.map((input) => promptOf(input, simulator)),
    sampling,
    defaultMaxTokens: DEFAULT_MAX_TOKENS,
    entriesPerToken: 1 + (fields.logprobs ?? 0),
    entriesPerPromptToken: promptEntries(fields),
    source: (random) => sentences(random, config.answerTokens * (0.5 + random())),
  };
  return { fields, generation };
}

function promptFor({ generation }: Completion, choice: number): Prompt {
  return generation.prompts[Math.floor(choice / generation.sampling.n)] ?? { ids: [] };
}

function joined(pieces: readonly Piece[]): string {
  return pieces.reduce((text, piece) => text + piece.text, "");
}

function choiceBody(completion: Completion, plan: Plan, index: number) {
  const { echo, logprobs, prompt_logprobs: promptTop } = completion.fields;
  const { returnTokenIds } = completion.generation.sampling;
  const { ids } = promptFor(completion, index);
  const pieces = echo === true ? [...toPieces(ids), ...plan.pieces] : plan.pieces;
  const top = promptTop ?? (echo === true ? logprobs : undefined);
  return {
    index,
    text: (echo === true ? decode(ids) : "") + joined(plan.pieces),
    logprobs:
      logprobs === undefined
        ? null
        : completionLogprobs(pieces, logprobs, { startsWithPrompt: echo === true, offset: 0 }),
    finish_reason: plan.finishReason,
    stop_reason: plan.stopReason,
    token_ids: returnTokenIds ? plan.pieces.map(({ id }) => id) : null,
    prompt_logprobs: top === undefined ? null : promptLogprobs(ids, top),
    prompt_token_ids: returnTokenIds ? ids : null,
    routed_experts: null,
  };
}

function wholeAnswer(
  simulator: Simulator,
  completion: Completion,
  outcome: { plans: readonly Plan[]; usage: Usage },
) {
  const { id, created, modelName } = completion.generation;
  return {
    id,
    object: "text_completion",
    created,
    model: modelName,
    choices: outcome.plans.map((plan, index) => choiceBody(completion, plan, index)),
    service_tier: null,
    system_fingerprint: simulator.fingerprint,
    usage: wholeUsage(outcome.usage, simulator.config.enablePromptTokensDetails),
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: null,
  };
}

/** Streams a completion in chunks. */
class CompletionStream implements GenerationListener {
  readonly #simulator: Simulator;
  readonly #completion: Completion;
  readonly #events: EventStream;
  readonly #options: StreamOptions;
  readonly #sent = new Map<number, { tokens: number; characters: number }>();
  #unfinished: number;

  constructor(simulator: Simulator, completion: Completion, exchange: Exchange) {
    this.#simulator = simulator;
    this.#completion = completion;
    const { stream_options: options } = completion.fields;
    this.#options = readStreamOptions(options, simulator.config.enableForceIncludeUsage);
    this.#events = new EventStream(exchange);
    this.#unfinished = completion.generation.prompts.length * completion.generation.sampling.n;
  }

  progress(choice: number, plan: Plan, range: { to: number }) {
    const sent = this.#sent.get(choice) ?? { tokens: 0, characters: 0 };
    this.#sent.set(choice, sent);
    const interval = this.#simulator.config.streamInterval;
    for (;;) {
      const to = chunkEnd(sent.tokens, range.to, { interval, total: plan.pieces.length });
      if (to === undefined) return;
      this.#sendChunk(choice, plan, { from: sent.tokens, to, offset: sent.characters });
      sent.characters += joined(plan.pieces.slice(sent.tokens, to)).length;
      sent.tokens = to;
    }
  }

  finished(_plans: readonly Plan[], usage: Usage) {
    if (this.#options.includeUsage) {
      const details = this.#simulator.config.enablePromptTokensDetails;
      const system_fingerprint = this.#simulator.fingerprint;
      this.#events.event({
        ...this.#head(),
        choices: [],
        usage: finalUsage(usage, details),
        system_fingerprint,
      });
    }
    this.#events.end();
  }

  failed() {
    this.#events.event(engineDead().body);
    this.#events.end();
  }

  #head() {
    const { id, created, modelName } = this.#completion.generation;
    return { id, object: "text_completion", created, model: modelName };
  }

  #sendChunk(choice: number, plan: Plan, slice: { from: number; to: number; offset: number }) {
    const { logprobs: top, echo } = this.#completion.fields;
    const { returnTokenIds } = this.#completion.generation.sampling;
    const { ids } = promptFor(this.#completion, choice);
    const pieces = plan.pieces.slice(slice.from, slice.to);
    const last = slice.to === plan.pieces.length;
    const opening = slice.from === 0;
    if (last) this.#unfinished -= 1;
    const options = { startsWithPrompt: false, offset: slice.offset };
    this.#events.event({
      ...this.#head(),
      choices: [
        {
          index: choice,
          text: (echo === true && opening ? decode(ids) : "") + joined(pieces),
          logprobs: top === undefined ? null : completionLogprobs(pieces, top, options),
          finish_reason: last ? plan.finishReason : null,
          stop_reason: last ? plan.stopReason : null,
          prompt_token_ids: returnTokenIds && opening ? ids : null,
          token_ids: returnTokenIds ? pieces.map(({ id }) => id) : null,
        },
      ],
      ...(this.#options.continuousUsage && {
        // As vLLM does, of this choice and its prompt alone; only the last chunk tells the sum.
        usage: runningUsage(ids.length, slice.to),
      }),
      ...(last &&
        this.#unfinished === 0 &&
        !this.#options.includeUsage && { system_fingerprint: this.#simulator.fingerprint }),
    });
  }
}

export function completions(simulator: Simulator, exchange: Exchange, body: unknown) {
  const completion = readCompletion(simulator, body);
  admit(simulator);
  checkAnswerSize(completion.generation);
  const listener: GenerationListener =
    completion.fields.stream === true
      ? new CompletionStream(simulator, completion, exchange)
      : {
          finished: (plans, usage) =>
            sendJson(exchange, 200, wholeAnswer(simulator, completion, { plans, usage })),
          failed: () => sendError(exchange, engineDead()),
        };
  generate(simulator, completion.generation, { exchange, listener });
}
