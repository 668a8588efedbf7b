import { type ChatRequest, readChat } from "./chat-request.ts";
import { type Chat, ChatStream } from "./chat-stream.ts";
import { engineDead } from "./errors.ts";
import { admit, checkAnswerSize, type Generation, generate, type Usage } from "./generation.ts";
import { type Exchange, sendError, sendJson } from "./http.ts";
import { newId, secondsNow } from "./identity.ts";
import { exactly, type Source, sentences } from "./language.ts";
import { chatLogprobs, promptLogprobs } from "./logprobs.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import { readStreamOptions } from "./sampling.ts";
import type { Simulator } from "./simulator.ts";
import { ToolCallText } from "./tools.ts";
import { wholeUsage } from "./usage.ts";

function requestId(exchange: Exchange, request: ChatRequest): string {
  const header = exchange.request.headers["x-request-id"];
  const given = typeof header === "string" ? header : request.fields.request_id;
  return given ? `chatcmpl-${given}` : newId("chatcmpl-");
}

function openChat(simulator: Simulator, exchange: Exchange, request: ChatRequest): Chat {
  const calls = new Map<number, ToolCallText>();
  const structured = exchange.fault?.unstructured !== true;
  const source = (random: Random, choice: number): Source => {
    if (structured && request.toolChoice) {
      const call = new ToolCallText(request.toolChoice, random);
      calls.set(choice, call);
      return call.source;
    }
    if (structured && request.writeJson) return exactly(request.writeJson(random));
    return sentences(random, simulator.config.answerTokens * (0.5 + random()));
  };
  const generation: Generation = {
    id: requestId(exchange, request),
    created: secondsNow(),
    modelName: request.model.name,
    adapter: request.model.adapter,
    prompts: request.prompts,
    sampling: request.sampling,
    defaultMaxTokens: undefined,
    entriesPerToken: 1 + (request.topLogprobs ?? 0),
    entriesPerPromptToken: request.sampling.returnTokenIds ? 1 : 0,
    source,
  };
  return { request, generation, calls };
}

function textOf(plan: Plan): string {
  let text = "";
  for (const piece of plan.pieces) text += piece.text;
  return text;
}

function choiceBody(chat: Chat, plan: Plan, index: number) {
  const { topLogprobs, sampling } = chat.request;
  const text = textOf(plan);
  const call = chat.calls.get(index);
  const parsed = call?.parse(text, plan);
  const calledFreely = parsed !== undefined && call?.named === false;
  const content = parsed === undefined ? text : calledFreely ? null : "";
  return {
    index,
    message: {
      role: "assistant",
      content,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      ...(parsed && { tool_calls: [parsed] }),
      reasoning: null,
    },
    logprobs:
      topLogprobs === undefined
        ? null
        : chatLogprobs(plan.pieces, topLogprobs, { from: 0, to: plan.pieces.length }),
    finish_reason: calledFreely ? "tool_calls" : plan.finishReason,
    stop_reason: plan.stopReason,
    token_ids: sampling.returnTokenIds ? plan.pieces.map(({ id }) => id) : null,
    routed_experts: null,
  };
}

function wholeAnswer(simulator: Simulator, chat: Chat, outcome: { plans: readonly Plan[]; usage: Usage }) {
  const { generation, request } = chat;
  const { echo, prompt_logprobs: promptTop } = request.fields;
  const promptIds = request.prompts[0]?.ids ?? [];
  const wantsPrompt = promptTop !== undefined || echo === true;
  return {
    id: generation.id,
    object: "chat.completion",
    created: generation.created,
    model: generation.modelName,
    choices: outcome.plans.map((plan, index) => choiceBody(chat, plan, index)),
    service_tier: null,
    system_fingerprint: simulator.fingerprint,
    usage: wholeUsage(outcome.usage, simulator.config.enablePromptTokensDetails),
    prompt_logprobs: wantsPrompt ? promptLogprobs(promptIds, promptTop ?? 1) : null,
    prompt_token_ids: request.sampling.returnTokenIds ? promptIds : null,
    prompt_text: null,
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: null,
  };
}

function answer(simulator: Simulator, exchange: Exchange, request: ChatRequest) {
  admit(simulator);
  const chat = openChat(simulator, exchange, request);
  checkAnswerSize(chat.generation);
  if (request.fields.stream === true) {
    const options = readStreamOptions(
      request.fields.stream_options,
      simulator.config.enableForceIncludeUsage,
    );
    const listener = new ChatStream(simulator, chat, { exchange, options });
    generate(simulator, chat.generation, { exchange, listener });
    return;
  }
  const listener = {
    finished: (plans: readonly Plan[], usage: Usage) =>
      sendJson(exchange, 200, wholeAnswer(simulator, chat, { plans, usage })),
    failed: () => sendError(exchange, engineDead()),
  };
  generate(simulator, chat.generation, { exchange, listener });
}

export function chatCompletions(simulator: Simulator, exchange: Exchange, body: unknown) {
  answer(simulator, exchange, readChat(simulator, body, false));
}

/** One answer with a choice for each conversation. */
export function chatCompletionsBatch(simulator: Simulator, exchange: Exchange, body: unknown) {
  answer(simulator, exchange, readChat(simulator, body, true));
}
