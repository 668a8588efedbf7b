import type { ServerName } from "./servers.ts";
import { type Replay, SPECIAL_REPLAYS } from "./special-replays.ts";

export type Case =
  | Replay
  | { readonly kind: "table" }
  | { readonly kind: "observation" }
  | { readonly kind: "skipped"; readonly reason: string };

function replays(server: ServerName, names: string): [string, Case][] {
  return names
    .trim()
    .split(/\s+/)
    .map((name) => [name, { kind: "replay", server }]);
}

function skipped(names: string, reason: string): [string, Case][] {
  return names
    .trim()
    .split(/\s+/)
    .map((name) => [name, { kind: "skipped", reason }]);
}

function observed(names: string): [string, Case][] {
  return names
    .trim()
    .split(/\s+/)
    .map((name) => [name, { kind: "observation" }]);
}

/** Every recording, once: what is replayed, observed or left out. */
export const TABLE: readonly (readonly [string, Case])[] = [
  ...SPECIAL_REPLAYS,
  ...replays(
    "plain",
    `audio-transcriptions chat-assistant-last chat-bad-role chat-batch chat-content-parts chat-echo chat-empty-body
    chat-empty-messages chat-ignore_eos-min_tokens chat-image-not-multimodal chat-json-array-body chat-json_schema-invalid
    chat-logit_bias chat-logprobs chat-logprobs-warm chat-lora-unknown chat-max_completion_tokens chat-max_tokens-0
    chat-max_tokens-negative chat-max_tokens-string chat-max_tokens-too-large chat-missing-messages chat-model-wrong-type
    chat-n-0 chat-n-2-temp0 chat-n-too-large chat-n2 chat-no-content-type chat-no-model chat-priority
     chat-render chat-request-id-header
    chat-request_id-field chat-return_token_ids chat-seed-bad chat-seed-temp0 chat-service_tier chat-stop chat-stream
    chat-stream-continuous-usage chat-stream-logprobs chat-stream-n2
    chat-stream-string chat-stream-unknown-model chat-stream-usage chat-stream_options-without-stream
    chat-temperature-high chat-temperature-negative chat-tool_choice-without-tools chat-tools-auto chat-tools-named
    chat-tools-named-unknown chat-tools-no-choice chat-tools-none chat-tools-required chat-top_logprobs-too-many
    chat-top_logprobs-without-logprobs chat-top_p-2 chat-unknown-field chat-unknown-model chat-wrong-content-type chat
    classify-on-generate-model completions-batch  completions-missing-prompt
    completions-stream-usage completions-token-ids completions-unknown-model completions delete-models-405 detokenize
    embeddings-on-generate-model get-404 get-chat-405 get-health get-health_ready get-is_sleeping get-live get-load
    get-load-after get-ping get-ready get-root get-server_info get-tokenizer_info get-v1_models get-v1_models_tiny
    get-version head-health invocations load_lora-disabled options-chat options-cors-preflight pooling-on-generate-model
    post-404 post-ping put-chat-405 rerank-on-generate-model reset_prefix_cache score-on-generate-model sleep
    tokenize-messages tokenize-prompt tokenize-token-strs trailing-slash`,
  ),
  ...replays(
    "keyed",
    `key-chat-basic-scheme key-chat-missing key-chat-x-api-key key-invocations-missing key-messages-x-api-key
    key-models-missing key-models-ok key-models-wrong key-open-health key-open-load key-open-nope key-open-ping
    key-open-v1_nope key-open-version key-options-preflight key-tokenize-missing request-id-header-echo
    request-id-header-generated tools-auto tools-result-turn usage-prompt-details-1`,
  ),
  ...replays(
    "pooling",
    `pooling-chat-on-pooling pooling-classify pooling-completions-on-pooling pooling-embeddings
    pooling-embeddings-base64 pooling-embeddings-batch pooling-embeddings-dimensions pooling-embeddings-empty
    pooling-embeddings-empty-list pooling-embeddings-token-ids pooling-embeddings-too-long pooling-embeddings-truncate
    pooling-embeddings-unknown-model pooling-get-health pooling-pooling pooling-score pooling-tokenize`,
  ),
  ...observed(`client-disconnect engine-core-killed sigterm-default sigterm-default-repeat sigterm-default-no-probes
    sigterm-default-client-closes-after-5s sigterm-shutdown-timeout-20 startup`),
  ["metrics.tsv", { kind: "table" }],
  ...skipped("responses responses-stream get-v1_responses_none", "the Responses API is not simulated"),
  ...skipped("messages messages-stream messages-count_tokens", "the Anthropic Messages API is not simulated"),
  ...skipped(
    "get-openapi.json key-open-openapi.json",
    "vLLM's own schema of 780 kB, which no caller reads; not copied here",
  ),
  ...skipped("get-docs", "a page for browsers"),
  ...skipped("get-is_scaling_elastic_ep", "expert parallelism is not simulated"),
];

/** Listed without their file. */
export const NOT_COPIED = ["get-openapi.json", "key-open-openapi.json"];
