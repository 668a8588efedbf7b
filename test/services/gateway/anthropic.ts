import type { ServerResponse } from "node:http";
import { sendJson } from "./support.ts";

// What Anthropic's Messages API sends, as its documentation and its SDK's types have it.

/** An answer of the API: a text, and usage with a cache that was read and written. */
export const MESSAGE = {
  id: "msg_01",
  type: "message",
  role: "assistant",
  model: "claude-upstream",
  content: [{ type: "text", text: "Hello there." }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: {
    input_tokens: 10,
    cache_creation_input_tokens: 3,
    cache_read_input_tokens: 7,
    output_tokens: 4,
  },
};

export function event(name: string, data: object = {}): string {
  return `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;
}

export function startEvent(): string {
  const message = {
    ...MESSAGE,
    content: [],
    stop_reason: null,
    usage: { ...MESSAGE.usage, output_tokens: 1 },
  };
  return event("message_start", { message });
}

export function textEvents(...parts: string[]): string {
  return [
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    event("ping"),
    ...parts.map((text) => event("content_block_delta", { index: 0, delta: { type: "text_delta", text } })),
    event("content_block_stop", { index: 0 }),
  ].join("");
}

export function toolEvents(index: number, name: string, ...parts: string[]): string {
  const block = { type: "tool_use", id: `toolu_${index}`, name, input: {} };
  return [
    event("content_block_start", { index, content_block: block }),
    ...parts.map((partial_json) =>
      event("content_block_delta", { index, delta: { type: "input_json_delta", partial_json } }),
    ),
    event("content_block_stop", { index }),
  ].join("");
}

export function endEvents(stop_reason: string, output_tokens: number): string {
  const delta = { stop_reason, stop_sequence: null };
  return event("message_delta", { delta, usage: { output_tokens } }) + event("message_stop");
}

export function beginEvents(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.flushHeaders();
}

export function sendError(response: ServerResponse, status: number, type: string, more: object = {}): void {
  sendJson(
    response,
    { type: "error", error: { type, message: "their words", ...more }, request_id: "req_1" },
    status,
  );
}

/** A whole stream: text, two tool calls and usage. */
export const STREAM = [
  startEvent(),
  textEvents("Let me ", "look – 看."),
  toolEvents(1, "weather", '{"city":', ' "Taipei"}'),
  toolEvents(2, "time", "{}"),
  endEvents("tool_use", 42),
].join("");
