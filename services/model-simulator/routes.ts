import { chatCompletions, chatCompletionsBatch } from "./chat.ts";
import { completions } from "./completions.ts";
import { ApiError } from "./errors.ts";
import { isObject } from "./fields.ts";
import type { Exchange } from "./http.ts";
import {
  detokenize,
  health,
  listModels,
  loadAdapter,
  metrics,
  tokenize,
  unloadAdapter,
  version,
} from "./plain-endpoints.ts";
import { embeddings, pooling, rerank, score } from "./pooling.ts";
import type { Simulator } from "./simulator.ts";

type Handler = (simulator: Simulator, exchange: Exchange, body: unknown) => void | Promise<void>;

export interface Route {
  readonly method: "GET" | "POST";
  readonly handle: Handler;
  /** Whether the body is JSON; it is not read otherwise. */
  readonly json: boolean;
  /** Whether the model works for it: counted by /load, and what faults apply to. */
  readonly inference: boolean;
}

type RouteTable = Map<string, readonly Route[]>;

function get(handle: Handler): Route {
  return { method: "GET", handle, json: false, inference: false };
}

function post(handle: Handler): Route {
  return { method: "POST", handle, json: true, inference: false };
}

function infer(handle: Handler): Route {
  return { method: "POST", handle, json: true, inference: true };
}

function render(): never {
  const message =
    "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them.";
  throw new ApiError(403, "PermissionDeniedError", { message });
}

// As vLLM does, whatever the body looks like it is.
function invocations(simulator: Simulator, exchange: Exchange, body: unknown) {
  const isCompletion = isObject(body) && body.prompt !== undefined;
  return isCompletion ? completions(simulator, exchange, body) : chatCompletions(simulator, exchange, body);
}

const GENERATE_ROUTES: readonly [string, Route[]][] = [
  ["/v1/chat/completions", [infer(chatCompletions)]],
  ["/v1/chat/completions/batch", [infer(chatCompletionsBatch)]],
  ["/v1/chat/completions/render", [post(render)]],
  ["/v1/completions", [infer(completions)]],
  ["/invocations", [infer(invocations)]],
];

const POOLING_ROUTES: readonly [string, Route[]][] = [
  ["/v1/embeddings", [infer(embeddings)]],
  ["/pooling", [infer(pooling)]],
  ["/score", [infer(score)]],
  ["/v1/score", [infer(score)]],
  ["/rerank", [infer(rerank)]],
  ["/v1/rerank", [infer(rerank)]],
  ["/v2/rerank", [infer(rerank)]],
  ["/invocations", [infer(embeddings)]],
];

/** The endpoints by path, as the settings open them. `load` answers /load. */
export function routeTable(simulator: Simulator, load: Handler): RouteTable {
  const { config } = simulator;
  const ping = get(health);
  const table: RouteTable = new Map([
    ["/health", [get(health)]],
    ["/ping", [ping, { ...ping, method: "POST" as const }]],
    ["/load", [get(load)]],
    ["/version", [get(version)]],
    ["/metrics", [get(metrics)]],
    ["/v1/models", [get(listModels)]],
    ["/tokenize", [post(tokenize)]],
    ["/detokenize", [post(detokenize)]],
  ]);
  for (const [path, routes] of config.runner === "pooling" ? POOLING_ROUTES : GENERATE_ROUTES) {
    table.set(path, routes);
  }
  if (config.enableLora && config.allowRuntimeLora) {
    table.set("/v1/load_lora_adapter", [post(loadAdapter)]);
    table.set("/v1/unload_lora_adapter", [post(unloadAdapter)]);
  }
  return table;
}
