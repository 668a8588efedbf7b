import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type FinishedReason = "stop" | "length" | "abort" | "error" | "repetition";
const FINISHED_REASONS: readonly FinishedReason[] = ["stop", "length", "abort", "error", "repetition"];

/** What the gauges show, read at each scrape. */
export interface EngineState {
  readonly running: number;
  readonly waiting: number;
  /** 0 to 1 */
  readonly kvCacheUsage: number;
  readonly runningAdapters: readonly string[];
  readonly waitingAdapters: readonly string[];
}

export interface FinishedSequence {
  readonly reason: FinishedReason;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** Seconds from arrival to the end. */
  readonly latency: number;
  readonly queueTime: number;
  readonly prefillTime: number;
  readonly decodeTime: number;
}

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

/** vLLM's metrics by its names, types, labels and buckets. */
export class Metrics {
  readonly registry = new Registry();
  readonly #modelLabels: Readonly<Record<string, string>>;
  readonly #modelName: string;
  readonly #promptTokens;
  readonly #promptTokensCached;
  readonly #generationTokens;
  readonly #prefixQueries;
  readonly #prefixHits;
  readonly #success = new Map<FinishedReason, { inc(): void }>();
  readonly #rejections;
  readonly #http;
  readonly #httpDuration;
  readonly timeToFirstToken;
  readonly interTokenLatency;
  readonly requestParamsN;
  readonly requestParamsMaxTokens;
  readonly #sequence;

  constructor(modelName: string, maxModelLen: number) {
    this.#modelName = modelName;
    this.#modelLabels = { engine: "0", model_name: modelName };
    const tokens = tokenBuckets(maxModelLen);
    this.#promptTokens = this.#counter("vllm:prompt_tokens_total", "Prompt tokens that were processed.");
    this.#promptTokensCached = this.#counter(
      "vllm:prompt_tokens_cached_total",
      "Prompt tokens found in the cache.",
    );
    this.#generationTokens = this.#counter("vllm:generation_tokens_total", "Tokens that were generated.");
    this.#prefixQueries = this.#counter(
      "vllm:prefix_cache_queries_total",
      "Tokens looked up in the prefix cache.",
    );
    this.#prefixHits = this.#counter("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache.");
    this.#counter("vllm:num_preemptions_total", "Preemptions; the simulator never preempts.");
    this.timeToFirstToken = this.#histogram(
      "vllm:time_to_first_token_seconds",
      "Time to first token.",
      TIME_TO_FIRST,
    );
    this.interTokenLatency = this.#histogram(
      "vllm:inter_token_latency_seconds",
      "Time between tokens.",
      PER_TOKEN,
    );
    this.requestParamsN = this.#histogram("vllm:request_params_n", "The n of requests.", CHOICES);
    this.requestParamsMaxTokens = this.#histogram(
      "vllm:request_params_max_tokens",
      "The max_tokens of requests.",
      tokens,
    );
    this.#sequence = {
      promptTokens: this.#histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", tokens),
      generatedTokens: this.#histogram(
        "vllm:request_generation_tokens",
        "Generated tokens of a request.",
        tokens,
      ),
      latency: this.#histogram("vllm:e2e_request_latency_seconds", "Time from arrival to end.", LATENCY),
      queueTime: this.#histogram("vllm:request_queue_time_seconds", "Time spent waiting.", LATENCY),
      prefillTime: this.#histogram("vllm:request_prefill_time_seconds", "Time spent on the prompt.", LATENCY),
      decodeTime: this.#histogram("vllm:request_decode_time_seconds", "Time spent generating.", LATENCY),
      inferenceTime: this.#histogram("vllm:request_inference_time_seconds", "Time spent running.", LATENCY),
      perOutputToken: this.#histogram(
        "vllm:request_time_per_output_token_seconds",
        "Mean time of a token.",
        PER_TOKEN,
      ),
    };
    this.#countSuccess();
    this.#rejections = new Counter({
      name: "vllm:admission_rejections_total",
      help: "Requests refused because of a queue limit.",
      labelNames: ["model_name", "reason"],
      registers: [this.registry],
    }).labels({ model_name: modelName, reason: "max_num_queued_reqs" });
    this.#rejections.inc(0);
    this.#http = new Counter({
      name: "http_requests_total",
      help: "HTTP requests by method, status class and handler.",
      labelNames: ["handler", "method", "status"],
      registers: [this.registry],
    });
    this.#httpDuration = new Histogram({
      name: "http_request_duration_seconds",
      help: "HTTP latency by handler.",
      labelNames: ["handler", "method"],
      buckets: HTTP_DURATION,
      registers: [this.registry],
    });
  }

  #counter(name: string, help: string) {
    const labelNames = Object.keys(this.#modelLabels);
    const counter = new Counter({ name, help, labelNames, registers: [this.registry] }).labels(
      this.#modelLabels,
    );
    counter.inc(0);
    return counter;
  }

  #histogram(name: string, help: string, buckets: number[]) {
    const labelNames = Object.keys(this.#modelLabels);
    const histogram = new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
    histogram.zero(this.#modelLabels);
    return histogram.labels(this.#modelLabels);
  }

  #countSuccess() {
    const success = new Counter({
      name: "vllm:request_success_total",
      help: "Finished requests by reason.",
      labelNames: ["engine", "finished_reason", "model_name"],
      registers: [this.registry],
    });
    for (const reason of FINISHED_REASONS) {
      const child = success.labels({ ...this.#modelLabels, finished_reason: reason });
      child.inc(0);
      this.#success.set(reason, child);
    }
  }

  /** Registers the gauges; `read` is called at each scrape. */
  observe(read: () => EngineState, lora: { readonly enabled: boolean; readonly maxLoras: number }) {
    const labelNames = Object.keys(this.#modelLabels);
    const gauge = (name: string, help: string, value: (state: EngineState) => number) => {
      const labels = this.#modelLabels;
      new Gauge({
        name,
        help,
        labelNames,
        registers: [this.registry],
        collect() {
          this.set(labels, value(read()));
        },
      });
    };
    gauge("vllm:num_requests_running", "Sequences that run.", (state) => state.running);
    gauge("vllm:num_requests_waiting", "Sequences that wait for a slot.", (state) => state.waiting);
    gauge("vllm:kv_cache_usage_perc", "Used share of the KV cache, 0 to 1.", (state) => state.kvCacheUsage);
    if (lora.enabled) this.#observeAdapters(read, lora.maxLoras);
  }

  #observeAdapters(read: () => EngineState, maxLoras: number) {
    new Gauge({
      name: "vllm:lora_requests_info",
      help: "When these adapters were last seen running and waiting.",
      labelNames: ["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
      registers: [this.registry],
      collect() {
        const { runningAdapters, waitingAdapters } = read();
        const labels = {
          max_lora: String(maxLoras),
          running_lora_adapters: runningAdapters.join(","),
          waiting_lora_adapters: waitingAdapters.join(","),
        };
        this.set(labels, Date.now() / 1000);
      },
    });
  }

  prefill(promptTokens: number, cachedTokens: number) {
    this.#promptTokens.inc(promptTokens);
    this.#prefixQueries.inc(promptTokens);
    if (cachedTokens > 0) {
      this.#prefixHits.inc(cachedTokens);
      this.#promptTokensCached.inc(cachedTokens);
    }
  }

  generated(tokens: number) {
    this.#generationTokens.inc(tokens);
  }

  finished(sequence: FinishedSequence) {
    this.#success.get(sequence.reason)?.inc();
    const { promptTokens, generatedTokens, latency, queueTime, prefillTime, decodeTime } = sequence;
    const observed = this.#sequence;
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
    this.#http.inc({ handler, method, status: `${Math.floor(status / 100)}xx` });
    this.#httpDuration.observe({ handler, method }, seconds);
  }

  get modelName() {
    return this.#modelName;
  }
}
