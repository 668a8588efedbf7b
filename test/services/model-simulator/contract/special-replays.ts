import type { ServerName } from "./servers.ts";

export interface Replay {
  readonly kind: "replay" | "metrics";
  readonly server: ServerName;
  /** Paths into the body that may differ, and why. */
  readonly ignore?: { readonly paths: readonly string[]; readonly reason: string };
  /** How the request differs from the recorded one, and why. */
  readonly change?: { readonly body: (recorded: string) => string; readonly reason: string };
  /** Recordings whose requests come first. */
  readonly after?: readonly string[];
  /** Requests that are in the engine meanwhile. */
  readonly occupied?: number;
  /** Gauges or counters whose value is compared. */
  readonly values?: readonly (readonly [name: string, labels: Readonly<Record<string, string>>])[];
}

const PYDANTIC = "the message lists every branch of a Python union; the simulator names the one that failed";

// The recorder shortened long bodies to their length; these are the texts that have it.
function longPrompt(field: (text: string) => string, unit: string, times: number) {
  const reason = "the recording holds the start of the body only; this is the text of that length";
  return { body: () => field(unit.repeat(times)), reason };
}

function longChat(unit: string, times: number, more = "") {
  const field = (text: string) =>
    `{"model": "tiny", "messages": [{"role": "user", "content": "${text}"}]${more}}`;
  return longPrompt(field, unit, times);
}

const longCompletion = longPrompt((text) => `{"model": "tiny", "prompt": "${text}"}`, "hello world ", 2000);

const AS_CUT_OFF = (limit: number) => ({
  body: (body: string) => body.replace(/"max_tokens": \d+/, `"max_tokens": ${limit}`),
  reason:
    "the recorded model was cut off inside its call; a lower limit cuts the simulator's short call off too",
});

const RANDOM_FINISH = {
  paths: [
    "choices.*.finish_reason",
    "choices.*.stop_reason",
    "usage.completion_tokens",
    "choices.*.message.content",
  ],
  reason: "which words, and so which stop, come is the model's",
};

const STOP_POSITION = {
  paths: ["choices.*.stop_reason", "choice 0.*.choices.*.stop_reason", "usage.completion_tokens"],
  reason: "where the stop comes is the model's",
};

function stopAt(recorded: string, simulated: string) {
  const reason = "a stop that comes in the simulator's text";
  return { body: (body: string) => body.replace(recorded, simulated), reason };
}

const LONGER_PROMPT = "the recorded text has fewer tokens in the simulator's tokenizer";

/** Recordings whose replay needs more than its request, or may differ somewhere. */
export const SPECIAL_REPLAYS: readonly (readonly [string, Replay])[] = [
  ["chat-bad-json", { kind: "replay", server: "plain" }],
  [
    "chat-content-wrong-type",
    {
      kind: "replay",
      server: "plain",
      ignore: { paths: ["error.message", "error.param"], reason: PYDANTIC },
    },
  ],
  [
    "chat-missing-role",
    {
      kind: "replay",
      server: "plain",
      ignore: { paths: ["error.message", "error.param"], reason: PYDANTIC },
    },
  ],
  [
    "chat-response_format-bad",
    { kind: "replay", server: "plain", ignore: { paths: ["error.message"], reason: PYDANTIC } },
  ],
  [
    "pooling-embeddings-missing-input",
    { kind: "replay", server: "pooling", ignore: { paths: ["error.message"], reason: PYDANTIC } },
  ],
  ["chat-large-body-3mb", { kind: "replay", server: "plain", change: longChat("x", 3_000_000) }],
  ["chat-prompt-too-long", { kind: "replay", server: "plain", change: longChat("hello world ", 2000) }],
  [
    "chat-stream-prompt-too-long",
    { kind: "replay", server: "plain", change: longChat("hello world ", 2000, ', "stream": true') },
  ],
  ["completions-too-long", { kind: "replay", server: "plain", change: longCompletion }],
  [
    "chat-prompt-too-long-tokens",
    {
      kind: "replay",
      server: "plain",
      change: { ...longChat("hello world ", 300, ', "max_tokens": 5'), reason: LONGER_PROMPT },
    },
  ],
  [
    "chat-prompt-too-long-tokens-no-max",
    { kind: "replay", server: "plain", change: { ...longChat("hello world ", 300), reason: LONGER_PROMPT } },
  ],
  [
    "chat-stream-prompt-too-long-tokens",
    {
      kind: "replay",
      server: "plain",
      change: { ...longChat("hello world ", 300, ', "stream": true'), reason: LONGER_PROMPT },
    },
  ],
  [
    "completions-echo-logprobs",
    {
      kind: "replay",
      server: "plain",
      change: {
        body: (body) => body.replace("Hello", "Hello world"),
        reason: "one word is one token here, and a prompt's first token has no probability",
      },
    },
  ],
  [
    "chat-logit_bias-bad",
    {
      kind: "replay",
      server: "plain",
      change: {
        body: (body) => body.replace("99999", "999999"),
        reason: "99999 is a token of the simulator's tokenizer",
      },
      ignore: { paths: ["error.message"], reason: "it names the id and the vocabulary's size" },
    },
  ],
  ["chat-stop-4", { kind: "replay", server: "plain", change: stopAt('"\\n"', '" "'), ignore: STOP_POSITION }],
  [
    "chat-stop-string",
    { kind: "replay", server: "plain", change: stopAt('"i"', '" "'), ignore: STOP_POSITION },
  ],
  [
    "chat-stop-stream",
    { kind: "replay", server: "plain", change: stopAt('"i"', '" "'), ignore: STOP_POSITION },
  ],
  [
    "chat-stop-token-ids",
    { kind: "replay", server: "plain", change: stopAt("201", "279"), ignore: STOP_POSITION },
  ],
  ["chat-json_object", { kind: "replay", server: "plain", ignore: RANDOM_FINISH }],
  ["chat-json_schema", { kind: "replay", server: "plain", ignore: RANDOM_FINISH }],
  [
    "chat-max_tokens-default",
    {
      kind: "replay",
      server: "plain",
      ignore: {
        paths: ["usage.completion_tokens"],
        reason: "the window less the prompt, by another tokenizer",
      },
    },
  ],
  [
    "chat-prompt-plus-max_tokens-too-long",
    {
      kind: "replay",
      server: "plain",
      ignore: {
        paths: ["usage.completion_tokens"],
        reason: "the window less the prompt, by another tokenizer",
      },
    },
  ],
  [
    "load_lora-missing-path",
    {
      kind: "replay",
      server: "keyed",
      ignore: { paths: ["error.message"], reason: "the recorder replaced the path" },
    },
  ],
  ["load_lora-no-name", { kind: "replay", server: "keyed" }],
  ["unload_lora-unknown", { kind: "replay", server: "keyed" }],
  ["lora-load", { kind: "replay", server: "keyed" }],
  ["lora-load-again", { kind: "replay", server: "keyed", after: ["lora-load"] }],
  ["lora-chat", { kind: "replay", server: "keyed", after: ["lora-load"] }],
  [
    "lora-models",
    {
      kind: "replay",
      server: "keyed",
      after: ["lora-load"],
      ignore: { paths: ["data.1.root"], reason: "the adapter's folder is a temporary one" },
    },
  ],
  ["lora-unload", { kind: "replay", server: "keyed", after: ["lora-load"] }],
  ["lora-chat-after-unload", { kind: "replay", server: "keyed", after: ["lora-load", "lora-unload"] }],
  ["lora-metrics", { kind: "metrics", server: "keyed", after: ["lora-load", "lora-chat"] }],
  [
    "tools-named",
    {
      kind: "replay",
      server: "keyed",
      ignore: { paths: ["usage.completion_tokens"], reason: "the length of the arguments is the model's" },
    },
  ],
  ["tools-named-stream", { kind: "replay", server: "keyed", change: AS_CUT_OFF(3) }],
  [
    "tools-required",
    {
      kind: "replay",
      server: "keyed",
      change: AS_CUT_OFF(8),
      ignore: { paths: ["usage.completion_tokens"], reason: "the limit is lowered" },
    },
  ],
  ["usage-prompt-details-2-cached", { kind: "replay", server: "keyed", after: ["usage-prompt-details-1"] }],
  ["load-under-20-requests", { kind: "replay", server: "keyed", occupied: 12 }],
  [
    "metrics-under-20-requests",
    {
      kind: "metrics",
      server: "keyed",
      occupied: 12,
      after: ["key-models-ok"],
      values: [
        ["vllm:num_requests_running", {}],
        ["vllm:num_requests_waiting", {}],
      ],
    },
  ],
  ["overload-health", { kind: "replay", server: "overloaded", occupied: 3 }],
  ["overload-max-num-queued-reqs", { kind: "replay", server: "overloaded", occupied: 3 }],
  ["overload-max-num-queued-reqs-stream", { kind: "replay", server: "overloaded", occupied: 3 }],
  [
    "metrics-overload",
    {
      kind: "metrics",
      server: "overloaded",
      occupied: 3,
      after: ["overload-max-num-queued-reqs", "overload-max-num-queued-reqs-stream"],
      values: [
        ["vllm:num_requests_running", {}],
        ["vllm:num_requests_waiting", {}],
        ["vllm:admission_rejections_total", { reason: "max_num_queued_reqs" }],
      ],
    },
  ],
  ["get-metrics", { kind: "metrics", server: "plain", after: ["get-v1_models"] }],
  [
    "get-metrics-after",
    { kind: "metrics", server: "plain", after: ["chat", "chat-stream", "completions", "chat-unknown-model"] },
  ],
  ["key-open-metrics", { kind: "metrics", server: "keyed", after: ["key-models-ok"] }],
  ["pooling-get-metrics", { kind: "metrics", server: "pooling", after: ["pooling-get-v1_models"] }],
  [
    "pooling-get-v1_models",
    { kind: "replay", server: "pooling", ignore: { paths: ["data.*.root"], reason: "the model's folder" } },
  ],
  [
    "pooling-rerank",
    {
      kind: "replay",
      server: "pooling",
      ignore: {
        paths: ["results"],
        reason: "the order is the model's judgement; the entries' shape has a test of its own",
      },
    },
  ],
  ["chat-stream-interval-4-force-include-usage", { kind: "replay", server: "interval" }],
];
