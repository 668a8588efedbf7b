const MAX_EVENT_CHARACTERS = 1024 * 1024;
const MAX_JSON_BYTES = 16 * 1024 * 1024;
// Only an event that may end the answer is parsed. Inside a text of the model the quotes would be escaped.
const MAY_END = /"finish_reason"\s*:\s*"|"error"\s*:/;

/** Reads an answer and says what is wrong with it. */
export interface AnswerCheck {
  push(chunk: Buffer): void;
  /** Called when the answer is complete; undefined for a good one. */
  problem(): string | undefined;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const isFilled = (list: unknown): list is readonly unknown[] => Array.isArray(list) && list.length > 0;

/** A whole answer: JSON with choices or data. */
export class JsonCheck implements AnswerCheck {
  #chunks: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size <= MAX_JSON_BYTES) this.#chunks.push(chunk);
  }

  problem(): string | undefined {
    if (this.#size > MAX_JSON_BYTES) return `the answer is longer than ${MAX_JSON_BYTES} bytes`;
    const answer = parse(Buffer.concat(this.#chunks).toString());
    if (!answer) return "the answer is no JSON object";
    return isFilled(answer.choices) || isFilled(answer.data)
      ? undefined
      : "the answer has neither choices nor data";
  }
}

/** A stream: events with a finish_reason among them, and [DONE] as the last. */
export class StreamCheck implements AnswerCheck {
  #rest = "";
  #finished = false;
  #done = false;
  #problem: string | undefined;

  push(chunk: Buffer): void {
    // Every byte as one character: no character that matters is cut in two, and nothing else is looked at.
    const lines = (this.#rest + chunk.toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_EVENT_CHARACTERS) {
      this.#problem ??= "an event is too long";
      this.#rest = "";
    }
    for (const line of lines) this.#line(line);
  }

  problem(): string | undefined {
    if (this.#problem !== undefined) return this.#problem;
    if (!this.#done) return "the stream ended without [DONE]";
    return this.#finished ? undefined : "the stream has no finish_reason";
  }

  #line(line: string): void {
    if (!line.startsWith("data:")) return;
    const data = line.slice("data:".length).trim();
    if (this.#done) this.#problem ??= "the stream goes on after [DONE]";
    else if (data === "[DONE]") this.#done = true;
    else if (MAY_END.test(data)) this.#end(data);
  }

  #end(data: string): void {
    const event = parse(data);
    if (!event) this.#problem ??= "an event is no JSON object";
    else if (event.error !== undefined) this.#problem ??= "the stream told an error";
    else if (isFilled(event.choices) && event.choices.some(isEnd)) this.#finished = true;
  }
}

function isEnd(choice: unknown): boolean {
  if (typeof choice !== "object" || choice === null || !("finish_reason" in choice)) return false;
  return typeof choice.finish_reason === "string";
}
