import { ApiError } from "../api/errors.ts";
import { DEGRADED_HEADER, PATHS } from "../contract.ts";
import type { Answer, Exchange } from "../exchange.ts";
import type { Degraded } from "../routing/settings.ts";

const NO_USAGE = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };

/**
 * What a client is told in place of an error, as its model's settings say: the message as an error, or as an answer that
 * the header x-degraded marks. What the platform's own checks ask is never made to look like an answer.
 * @throws {ApiError} with the message
 */
export function degrade(exchange: Exchange, { message, as }: Degraded, error: ApiError): Answer {
  const isText = exchange.endpoint === PATHS.chatCompletions || exchange.endpoint === PATHS.completions;
  if (as === "error" || exchange.isProbe || !isText) {
    const { retryAfterSeconds } = error.detail;
    throw new ApiError("model_overloaded", {
      message,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
  }
  exchange.degraded = true;
  exchange.usage = NO_USAGE;
  exchange.headers.push(DEGRADED_HEADER, "true");
  return exchange.streamed ? asStream(exchange, message) : asJson(exchange, message);
}

function head(exchange: Exchange, object: string) {
  return {
    id: `degraded-${exchange.upstreamId}`,
    object,
    created: Math.floor(Date.now() / 1000),
    model: exchange.parsed?.model ?? "",
  };
}

function isChat({ endpoint }: Exchange): boolean {
  return endpoint === PATHS.chatCompletions;
}

function asJson(exchange: Exchange, message: string): Answer {
  const choice = isChat(exchange) ? { message: { role: "assistant", content: message } } : { text: message };
  const body = {
    ...head(exchange, isChat(exchange) ? "chat.completion" : "text_completion"),
    choices: [{ index: 0, ...choice, finish_reason: "stop" }],
    usage: NO_USAGE,
  };
  return { kind: "json", status: 200, body: JSON.stringify(body) };
}

function asStream(exchange: Exchange, message: string): Answer {
  const first = head(exchange, isChat(exchange) ? "chat.completion.chunk" : "text_completion");
  const part = isChat(exchange) ? { delta: { role: "assistant", content: message } } : { text: message };
  const end = isChat(exchange) ? { delta: {} } : { text: "" };
  const chunks: unknown[] = [
    { ...first, choices: [{ index: 0, ...part, finish_reason: null }] },
    { ...first, choices: [{ index: 0, ...end, finish_reason: "stop" }] },
  ];
  if (exchange.parsed?.stream_options?.include_usage === true)
    chunks.push({ ...first, choices: [], usage: NO_USAGE });
  const events = [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"];
  const body = events.map((event) => `data: ${event}\n\n`).join("");
  return { kind: "json", status: 200, body, contentType: "text/event-stream; charset=utf-8" };
}
