import type { ChatRequest } from "./chat-request.ts";
import { engineDead } from "./errors.ts";
import { type Generation, type GenerationListener, promptTokensOf, type Usage } from "./generation.ts";
import { EventStream, type Exchange } from "./http.ts";
import { chatLogprobs } from "./logprobs.ts";
import type { Plan } from "./plan.ts";
import type { StreamOptions } from "./sampling.ts";
import type { Simulator } from "./simulator.ts";
import type { ToolCallText } from "./tools.ts";
import { finalUsage, runningUsage } from "./usage.ts";

/** A chat with what its choices turned out to say. */
export interface Chat {
  readonly request: ChatRequest;
  readonly generation: Generation;
  /** By choice; empty for an answer in text. */
  readonly calls: ReadonlyMap<number, ToolCallText>;
}

/** How far one choice has been sent. */
interface Sent {
  tokens: number;
  characters: number;
  toolName: boolean;
}

interface Slice {
  readonly choice: number;
  readonly plan: Plan;
  readonly from: number;
  readonly to: number;
}

/** The end of the part of a stream's tokens that goes into the next chunk, or undefined while too few are there. */
export function chunkEnd(
  sent: number,
  there: number,
  options: { interval: number; total: number },
): number | undefined {
  const wanted = Math.min(sent === 0 ? 1 : sent + options.interval, options.total);
  return wanted <= there && wanted > sent ? wanted : undefined;
}

function textBetween(plan: Plan, from: number, to: number): string {
  let text = "";
  for (let index = from; index < to; index += 1) text += plan.pieces[index]?.text ?? "";
  return text;
}

/** Streams a chat in chunks. */
export class ChatStream implements GenerationListener {
  readonly #simulator: Simulator;
  readonly #chat: Chat;
  readonly #events: EventStream;
  readonly #options: StreamOptions;
  readonly #sent: Sent[];
  readonly #promptTokens: number;
  #opened = false;
  #unfinished: number;

  constructor(simulator: Simulator, chat: Chat, stream: { exchange: Exchange; options: StreamOptions }) {
    this.#simulator = simulator;
    this.#chat = chat;
    this.#options = stream.options;
    this.#events = new EventStream(stream.exchange);
    const choices = chat.generation.prompts.length * chat.generation.sampling.n;
    this.#unfinished = choices;
    this.#promptTokens = promptTokensOf(chat.generation);
    this.#sent = Array.from({ length: choices }, () => ({ tokens: 0, characters: 0, toolName: false }));
  }

  progress(choice: number, plan: Plan, range: { to: number }) {
    if (!this.#opened) this.#open();
    const sent = this.#sent[choice];
    if (!sent) return;
    const interval = this.#simulator.config.streamInterval;
    for (;;) {
      const to = chunkEnd(sent.tokens, range.to, { interval, total: plan.pieces.length });
      if (to === undefined) return;
      this.#sendSlice({ choice, plan, from: sent.tokens, to }, sent);
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
    const { id, created, modelName } = this.#chat.generation;
    return { id, object: "chat.completion.chunk", created, model: modelName };
  }

  // As vLLM does, of this choice alone; only the last chunk tells the sum.
  #runningUsage(completionTokens: number) {
    if (!this.#options.continuousUsage) return {};
    return { usage: runningUsage(this.#promptTokens, completionTokens) };
  }

  #open() {
    this.#opened = true;
    const { returnTokenIds } = this.#chat.request.sampling;
    this.#sent.forEach((_, index) => {
      this.#events.event({
        ...this.#head(),
        choices: [{ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }],
        ...this.#runningUsage(0),
        prompt_token_ids: returnTokenIds ? (this.#chat.request.prompts[0]?.ids ?? []) : null,
        prompt_text: null,
      });
    });
  }

  #sendSlice(slice: Slice, sent: Sent) {
    const { choice, plan, from, to } = slice;
    const text = textBetween(plan, from, to);
    const start = sent.characters;
    sent.characters += text.length;
    const last = to === plan.pieces.length;
    const call = this.#chat.calls.get(choice);
    if (!call) {
      this.#sendDelta(slice, { content: text }, last ? plan.finishReason : null);
      return;
    }
    const finishReason = !call.named && plan.finishReason === "stop" ? "tool_calls" : plan.finishReason;
    const deltas = this.#callDeltas(call, { from: start, to: sent.characters }, sent);
    if (deltas.length === 0 && last) deltas.push({ content: "" });
    deltas.forEach((delta, index) => {
      this.#sendDelta(slice, delta, last && index === deltas.length - 1 ? finishReason : null);
    });
  }

  // As recorded, the name comes in a chunk of its own, before any argument.
  #callDeltas(call: ToolCallText, characters: { from: number; to: number }, sent: Sent): object[] {
    const fragment = call.argumentsWithin(characters.from, characters.to);
    const deltas: object[] = [];
    if (fragment !== undefined && !sent.toolName) {
      sent.toolName = true;
      const opening = { id: call.id, type: "function", index: 0, function: { name: call.name } };
      deltas.push({ content: null, tool_calls: [opening] });
    }
    if (fragment)
      deltas.push({ content: null, tool_calls: [{ index: 0, function: { arguments: fragment } }] });
    return deltas;
  }

  #sendDelta({ choice, plan, from, to }: Slice, delta: object, finishReason: string | null) {
    const { topLogprobs, sampling } = this.#chat.request;
    if (finishReason !== null) this.#unfinished -= 1;
    const logprobs = topLogprobs === undefined ? null : chatLogprobs(plan.pieces, topLogprobs, { from, to });
    const token_ids = sampling.returnTokenIds ? plan.pieces.slice(from, to).map(({ id }) => id) : null;
    const ending =
      finishReason === null
        ? { finish_reason: null, token_ids }
        : { finish_reason: finishReason, stop_reason: plan.stopReason, token_ids };
    const isLast = finishReason !== null && this.#unfinished === 0 && !this.#options.includeUsage;
    this.#events.event({
      ...this.#head(),
      choices: [{ index: choice, delta, logprobs, ...ending }],
      ...this.#runningUsage(to),
      ...(isLast && { system_fingerprint: this.#simulator.fingerprint }),
    });
  }
}
