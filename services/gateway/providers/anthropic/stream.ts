import type Anthropic from "@anthropic-ai/sdk";
import { type Counted, finishReason, toUsage } from "./answer.ts";

const DONE = "data: [DONE]\n\n";

/** Turns the events of one of Anthropic's streams into chunks of a chat completion. */
export class ChunkWriter {
  readonly #model: string;
  readonly #created = Math.floor(Date.now() / 1000);
  /** Positions of the answer's tool calls by the position of their block. */
  readonly #calls = new Map<number, number>();
  #id = "";
  #counted: Counted = {};
  #begun = false;

  constructor(model: string) {
    this.#model = model;
  }

  /** The text that an event adds to the stream; empty for one that says nothing to the client. */
  write(event: Anthropic.RawMessageStreamEvent): string {
    switch (event.type) {
      case "message_start":
        this.#id = `chatcmpl-${event.message.id}`;
        this.#count(event.message.usage);
        return "";
      case "content_block_start":
        return this.#blockStart(event);
      case "content_block_delta":
        return this.#blockDelta(event);
      case "message_delta":
        this.#count(event.usage);
        return this.#chunk({}, finishReason(event.delta.stop_reason));
      case "message_stop":
        return this.#last() + DONE;
      default:
        return "";
    }
  }

  #blockStart({ index, content_block: block }: Anthropic.RawContentBlockStartEvent): string {
    if (block.type === "text") return block.text === "" ? "" : this.#chunk({ content: block.text });
    if (block.type !== "tool_use") return "";
    const position = this.#calls.size;
    this.#calls.set(index, position);
    const call = { index: position, id: block.id, type: "function" };
    return this.#chunk({ tool_calls: [{ ...call, function: { name: block.name, arguments: "" } }] });
  }

  #blockDelta({ index, delta }: Anthropic.RawContentBlockDeltaEvent): string {
    if (delta.type === "text_delta") return this.#chunk({ content: delta.text });
    const position = this.#calls.get(index);
    if (delta.type !== "input_json_delta" || position === undefined) return "";
    const part = { index: position, function: { arguments: delta.partial_json } };
    return this.#chunk({ tool_calls: [part] });
  }

  /** The first one is preceded by a chunk that names the role, as in OpenAI's streams: once there is something to say. */
  #chunk(delta: object, finish: string | null = null): string {
    const role = this.#begun ? "" : this.#choice({ role: "assistant", content: "" }, null);
    this.#begun = true;
    return role + this.#choice(delta, finish);
  }

  #choice(delta: object, finish: string | null): string {
    return this.#event({ choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }] });
  }

  #last(): string {
    return this.#event({ choices: [], usage: toUsage(this.#counted) });
  }

  #event(payload: object): string {
    const head = {
      id: this.#id,
      object: "chat.completion.chunk",
      created: this.#created,
      model: this.#model,
    };
    return `data: ${JSON.stringify({ ...head, ...payload })}\n\n`;
  }

  // Later figures are totals that replace earlier ones; those that are not told again stay.
  #count(usage: Anthropic.Usage | Anthropic.MessageDeltaUsage): void {
    const told = Object.entries(usage).filter(([, value]) => value !== null && value !== undefined);
    this.#counted = { ...this.#counted, ...Object.fromEntries(told) };
  }
}
