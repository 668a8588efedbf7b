import type { Answer } from "./replay.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

// What a random-weight model, another tokenizer, the clock or the connection decides; only its type is compared.
const NOISE = new Set([
  "created",
  "content",
  "text",
  "token",
  "prompt",
  "arguments",
  "prompt_tokens",
  "total_tokens",
  "logprob",
  "relevance_score",
  "score",
  "count",
]);
// Lists and maps whose length or keys are the tokenizer's; the kinds of their entries are compared.
const TOKEN_LISTS = new Set([
  "token_ids",
  "prompt_token_ids",
  "tokens",
  "token_strs",
  "text_offset",
  "token_logprobs",
]);
const TOKEN_MAPS = new Set(["prompt_logprobs", "top_logprobs"]);
const CONNECTION_HEADERS = new Set([
  "date",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
]);

function typeOf(value: Json): Json {
  return value === null ? null : `<${typeof value}>`;
}

function distinct(values: Json[]): Json[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()].sort();
}

function tokenMap(value: Json): Json {
  if (Array.isArray(value)) return distinct(value.map(tokenMap));
  if (typeof value !== "object" || value === null) return typeOf(value);
  if ("logprob" in value || "decoded_token" in value) {
    return Object.fromEntries(
      Object.entries(value).map(([name, entry]) => [
        name,
        Array.isArray(entry) ? ["<number>"] : typeOf(entry),
      ]),
    );
  }
  return { "<token>": distinct(Object.values(value).map(tokenMap)) };
}

function normaliseText(text: string): string {
  return text
    .replace(/^vllm-0\.32\.0-[0-9a-f]{8}$/, "<fingerprint>")
    .replace(/^([a-z-]+-)?[0-9a-f]{32}$|(?<=-)[0-9a-f]{16}$/, (_, prefix) => `${prefix ?? ""}<hex>`)
    .replace(/^http:\/\/127\.0\.0\.1:\d+/, "<origin>");
}

function normaliseEntry(name: string, value: Json): Json {
  if (value !== null && TOKEN_LISTS.has(name) && Array.isArray(value)) return distinct(value.map(typeOf));
  if (value !== null && TOKEN_MAPS.has(name)) return tokenMap(value);
  if (name === "bytes" && Array.isArray(value)) return "<bytes>";
  if (name === "embedding" && typeof value === "string")
    return `<${Buffer.from(value, "base64").length} bytes>`;
  if (NOISE.has(name) && typeof value !== "object") return typeOf(value);
  return normalise(value);
}

export function normalise(value: Json): Json {
  if (typeof value === "string") return normaliseText(value);
  if (typeof value !== "object" || value === null) return value;
  if (!Array.isArray(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, entry]) => [name, normaliseEntry(name, entry)]),
    );
  }
  const isVector = value.length > 8 && value.every((entry) => typeof entry === "number");
  return isVector ? [`<${value.length} numbers>`] : value.map(normalise);
}

function withoutRepeats(events: Json[]): Json[] {
  return events.filter(
    (event, index) => index === 0 || JSON.stringify(event) !== JSON.stringify(events[index - 1]),
  );
}

function choiceOf(event: Json): string {
  const choices =
    typeof event === "object" && event !== null && !Array.isArray(event) ? event.choices : undefined;
  const first = Array.isArray(choices) ? choices[0] : undefined;
  return typeof first === "object" && first !== null && !Array.isArray(first)
    ? `choice ${first.index}`
    : "end";
}

/** The kinds of a stream's events in order, for each choice, repeated ones once. */
function normaliseStream(body: string): Json {
  const events = body.split("\n\n").filter((event) => event.trim() !== "");
  const parsed = events.map((event) => {
    const data = event.replace(/^data: /, "");
    return data === "[DONE]" ? data : normalise(JSON.parse(data));
  });
  const byChoice = Map.groupBy(parsed, choiceOf);
  return Object.fromEntries([...byChoice].map(([choice, list]) => [choice, withoutRepeats(list)]));
}

function normaliseBody({ headers, body }: Answer): Json {
  if (headers["content-type"]?.startsWith("text/event-stream")) return normaliseStream(body);
  if (headers["content-type"] === "application/json" && body !== "") return normalise(JSON.parse(body));
  return body;
}

function ignore(value: Json, path: readonly string[]): Json {
  const [first, ...rest] = path;
  if (first === undefined) return typeof value === "object" && value !== null ? "<ignored>" : typeOf(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    return value.map((entry, index) =>
      first === "*" || first === String(index) ? ignore(entry, rest) : entry,
    );
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [name, name === first ? ignore(entry, rest) : entry]),
  );
}

/** An answer without what may differ; `ignored` are further paths into the body, such as "error.message". */
export function comparable(answer: Answer, ignored: readonly string[]) {
  const headers = Object.entries(answer.headers)
    .filter(([name]) => !CONNECTION_HEADERS.has(name))
    .map(([name, value]) => [name, normaliseText(value)]);
  let body = normaliseBody(answer);
  for (const path of ignored) body = ignore(body, path.split("."));
  return { status: answer.status, headers: Object.fromEntries(headers), body };
}
