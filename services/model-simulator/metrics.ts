import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type FinishedReason = "stop" | "length" | "abort" | "error" | "repetition";
const FINISHED_REASONS: readonly FinishedReason[] = ["stop", "length", "abort", "error", "repetition"];

/** What the gauges show, read at each scrape. */
export interface EngineState {
  readonly running: number;
  readonly waiting: number;
  /** 0 to 1 */
  readonly kvCacheUsage: number;
}

/** Times are in seconds. */
export interface FinishedSequence {
  readonly reason: FinishedReason;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly latency: number;
  readonly queueTime: number;
  readonly prefillTime: number;
  readonly decodeTime: number;
}

export interface MetricsOptions {
  readonly modelName: string;
  readonly maxModelLen: number;
  /** Undefined without LoRA. */
  readonly maxLoras: number | undefined;
}

type ModelLabels = { readonly engine: string; readonly model_name: string };
const MODEL_LABELS = ["engine", "model_name"];

const TIME_TO_FIRST = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const PER_TOKEN = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const LATENCY = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const CHOICES = [1, 2, 5, 10, 20];
const HTTP_DURATION = [0.1, 0.5, 1];

// vLLM's buckets for token counts are 1, 2 and 5 times the powers of ten up to the context window.
function tokenBuckets(maxModelLen: number): number[] {
  const buckets: number[] = [];
  for (let power = 1; power <= maxModelLen; power *= 10) {
    for (const factor of [1, 2, 5]) if (factor * power <= maxModelLen) buckets.push(factor * power);
  }
  return buckets;
}

function counters(registry: Registry, labels: ModelLabels) {
  const counter = (name: string, help: string) => {
    const made = new Counter({ name, help, labelNames: MODEL_LABELS, registers: [registry] }).labels(labels);
    made.inc(0);
    return made;
  };
  return {
    promptTokens: counter("vllm:prompt_tokens_total", "Prompt tokens that were processed."),
    promptTokensCached: counter("vllm:prompt_tokens_cached_total", "Prompt tokens found in the cache."),
    generationTokens: counter("vllm:generation_tokens_total", "Tokens that were generated."),
    prefixQueries: counter("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache."),
    prefixHits: counter("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache."),
    preemptions: counter("vllm:num_preemptions_total", "Preemptions; the simulator never preempts."),
  };
}

function histograms(registry: Registry, labels: ModelLabels, tokens: number[]) {
  const histogram = (name: string, help: string, buckets: number[]) => {
    const made = new Histogram({ name, help, labelNames: MODEL_LABELS, buckets, registers: [registry] });
    made.zero(labels);
    return made.labels(labels);
  };
  return {
    timeToFirstToken: histogram("vllm:time_to_first_token_seconds", "Time to first token.", TIME_TO_FIRST),
    interTokenLatency: histogram("vllm:inter_token_latency_seconds", "Time between tokens.", PER_TOKEN),
    perOutputToken: histogram(
      "vllm:request_time_per_output_token_seconds",
      "Mean time of a token.",
      PER_TOKEN,
    ),
    paramsN: histogram("vllm:request_params_n", "The n of requests.", CHOICES),
    paramsMaxTokens: histogram("vllm:request_params_max_tokens", "The max_tokens of requests.", tokens),
    promptTokens: histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", tokens),
    generatedTokens: histogram("vllm:request_generation_tokens", "Generated tokens of a request.", tokens),
    latency: histogram("vllm:e2e_request_latency_seconds", "Time from arrival to end.", LATENCY),
    queueTime: histogram("vllm:request_queue_time_seconds", "Time spent waiting.", LATENCY),
    prefillTime: histogram("vllm:request_prefill_time_seconds", "Time spent on the prompt.", LATENCY),
    decodeTime: histogram("vllm:request_decode_time_seconds", "Time spent generating.", LATENCY),
    inferenceTime: histogram("vllm:request_inference_time_seconds", "Time spent running.", LATENCY),
  };
}

function successes(registry: Registry, labels: ModelLabels) {
  const name = "vllm:request_success_total";
  const labelNames = ["engine", "finished_reason", "model_name"];
  const counter = new Counter({
    name,
    help: "Finished requests by reason.",
    labelNames,
    registers: [registry],
  });
  return new Map(
    FINISHED_REASONS.map((reason) => {
      const child = counter.labels({ ...labels, finished_reason: reason });
      child.inc(0);
      return [reason, child];
    }),
  );
}

function rejections(registry: Registry, modelName: string) {
  const counter = new Counter({
    name: "vllm:admission_rejections_total",
    help: "Requests refused because of a queue limit.",
    labelNames: ["model_name", "reason"],
    registers: [registry],
  }).labels({ model_name: modelName, reason: "max_num_queued_reqs" });
  counter.inc(0);
  return counter;
}

function httpMetrics(registry: Registry) {
  return {
    requests: new Counter({
      name: "http_requests_total",
      help: "HTTP requests by method, status class and handler.",
      labelNames: ["handler", "method", "status"],
      registers: [registry],
    }),
    duration: new Histogram({
      name: "http_request_duration_seconds",
      help: "HTTP latency by handler.",
      labelNames: ["handler", "method"],
      buckets: HTTP_DURATION,
      registers: [registry],
    }),
  };
}

function adapterGauge(registry: Registry) {
  return new Gauge({
    name: "vllm:lora_requests_info",
    help: "When these adapters were last seen running and waiting.",
    labelNames: ["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
    registers: [registry],
  });
}

/** vLLM's metrics by its names, types, labels and buckets. */
export class Metrics {
  readonly registry = new Registry();
  readonly #labels: ModelLabels;
  readonly #counters;
  readonly #histograms;
  readonly #success;
  readonly #rejections;
  readonly #http;
  readonly #maxLoras;
  readonly #adapters;

  constructor({ modelName, maxModelLen, maxLoras }: MetricsOptions) {
    this.#labels = { engine: "0", model_name: modelName };
    this.#counters = counters(this.registry, this.#labels);
    this.#histograms = histograms(this.registry, this.#labels, tokenBuckets(maxModelLen));
    this.#success = successes(this.registry, this.#labels);
    this.#rejections = rejections(this.registry, modelName);
    this.#http = httpMetrics(this.registry);
    this.#maxLoras = maxLoras;
    this.#adapters = maxLoras === undefined ? undefined : adapterGauge(this.registry);
  }

  /** Registers the gauges; `read` is called for each of them at each scrape. */
  observe(read: () => EngineState) {
    const gauge = (name: string, help: string, value: (state: EngineState) => number) => {
      const labels = this.#labels;
      new Gauge({
        name,
        help,
        labelNames: MODEL_LABELS,
        registers: [this.registry],
        collect() {
          this.set(labels, value(read()));
        },
      });
    };
    gauge("vllm:num_requests_running", "Sequences that run.", (state) => state.running);
    gauge("vllm:num_requests_waiting", "Sequences that wait for a slot.", (state) => state.waiting);
    gauge("vllm:kv_cache_usage_perc", "Used share of the KV cache, 0 to 1.", (state) => state.kvCacheUsage);
  }

  /** Notes which adapters run and wait, as their sequences come and go. */
  adapters(running: readonly string[], waiting: readonly string[]) {
    const labels = {
      max_lora: String(this.#maxLoras),
      running_lora_adapters: running.join(","),
      waiting_lora_adapters: waiting.join(","),
    };
    this.#adapters?.set(labels, Date.now() / 1000);
  }

  parameters({ n, maxTokens }: { n: number; maxTokens: number | undefined }) {
    this.#histograms.paramsN.observe(n);
    if (maxTokens !== undefined) this.#histograms.paramsMaxTokens.observe(maxTokens);
  }

  prefill(promptTokens: number, cachedTokens: number) {
    this.#counters.promptTokens.inc(promptTokens);
    this.#counters.prefixQueries.inc(promptTokens);
    if (cachedTokens === 0) return;
    this.#counters.prefixHits.inc(cachedTokens);
    this.#counters.promptTokensCached.inc(cachedTokens);
  }

  /** Seconds from a sequence's arrival to its first token. */
  firstToken(seconds: number) {
    this.#histograms.timeToFirstToken.observe(seconds);
  }

  /** New tokens; `gaps` of them have one before them, `secondsApart` earlier. */
  generated(tokens: number, gaps: number, secondsApart: number) {
    this.#counters.generationTokens.inc(tokens);
    for (let gap = 0; gap < gaps; gap += 1) this.#histograms.interTokenLatency.observe(secondsApart);
  }

  finished(sequence: FinishedSequence) {
    this.#success.get(sequence.reason)?.inc();
    const { promptTokens, generatedTokens, latency, queueTime, prefillTime, decodeTime } = sequence;
    const observed = this.#histograms;
    observed.promptTokens.observe(promptTokens);
    observed.generatedTokens.observe(generatedTokens);
    observed.latency.observe(latency);
    observed.queueTime.observe(queueTime);
    observed.prefillTime.observe(prefillTime);
    observed.decodeTime.observe(decodeTime);
    observed.inferenceTime.observe(prefillTime + decodeTime);
    observed.perOutputToken.observe(decodeTime / Math.max(1, generatedTokens - 1));
  }

  rejected() {
    this.#rejections.inc();
  }

  http(exchange: { handler: string; method: string; status: number; seconds: number }) {
    const { handler, method, status, seconds } = exchange;
    this.#http.requests.inc({ handler, method, status: `${Math.floor(status / 100)}xx` });
    this.#http.duration.observe({ handler, method }, seconds);
  }
}
