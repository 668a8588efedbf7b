import { parseArgs } from "node:util";
import { z } from "zod";
import { ConfigError, wholeNumber } from "../shared/environment.ts";
import { FAULT_SYNTAX, type Fault, parseFault } from "./faults.ts";

export type SimulatorConfig = Readonly<ReturnType<typeof toConfig>>;

function decimal(min: number, max: number, remedy: string) {
  return z.string().transform((text, context) => {
    const value = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    context.addIssue({
      code: "custom",
      message: `"${text}" is not a number from ${min} to ${max}; ${remedy}`,
    });
    return z.NEVER;
  });
}

function words(remedy: string) {
  return z.string({ error: `is empty; ${remedy}` }).min(1, { error: `is empty; ${remedy}` });
}

const fault = z.string().transform((text, context): Fault => {
  const parsed = parseFault(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: `"${text}" is no fault; give ${FAULT_SYNTAX}` });
  return z.NEVER;
});

const loraModule = z.string().transform((text, context) => {
  const split = text.indexOf("=");
  if (split > 0 && split < text.length - 1)
    return { name: text.slice(0, split), path: text.slice(split + 1) };
  context.addIssue({ code: "custom", message: `"${text}" is no adapter; give <name>=<folder>` });
  return z.NEVER;
});

const flag = z.boolean().default(false);

const flagsSchema = z.object({
  host: words("give an address of this machine, such as 127.0.0.1").default("127.0.0.1"),
  port: wholeNumber([0, 65_535], "give the port to listen on, or 0 for any free one").default(8000),
  model: words("give the model's name or folder").default("/models/simulated"),
  "served-model-name": z.array(words("give the name that clients use")).optional(),
  "max-model-len": wholeNumber([16, 1_000_000], "give the context window in tokens").default(8192),
  "max-num-seqs": wholeNumber([1, 100_000], "give how many sequences run at once").default(256),
  "max-num-queued-reqs": wholeNumber(
    [1, 1_000_000],
    "give how many requests may be in the engine",
  ).optional(),
  "block-size": wholeNumber([1, 1024], "give the tokens of one KV-cache block").default(16),
  "api-key": z.array(words("give a key, or set VLLM_API_KEY")).optional(),
  runner: z
    .enum(["generate", "pooling"], { error: "is unknown; give generate or pooling" })
    .default("generate"),
  "stream-interval": wholeNumber([1, 10_000], "give the tokens of one chunk").default(1),
  "shutdown-timeout": wholeNumber(
    [0, 86_400],
    "give the seconds that open requests may take to finish",
  ).default(0),
  "enable-lora": flag,
  "lora-modules": z.array(loraModule).default([]),
  "max-loras": wholeNumber([1, 1000], "give how many adapters run in one batch").default(1),
  "enable-auto-tool-choice": flag,
  "tool-call-parser": words("give a parser's name, such as hermes").optional(),
  "enable-request-id-headers": flag,
  "enable-prompt-tokens-details": flag,
  "enable-server-load-tracking": flag,
  "enable-force-include-usage": flag,
  "sim-time-to-first-token-ms": decimal(0, 3_600_000, "give milliseconds").default(20),
  "sim-time-per-output-token-ms": decimal(0, 3_600_000, "give milliseconds").default(5),
  "sim-start-delay-s": decimal(0, 3600, "give seconds").default(0),
  "sim-seed": wholeNumber([0, 999_999_999], "give the seed of all text").default(0),
  "sim-answer-tokens": wholeNumber([1, 1_000_000], "give the usual length of an answer").default(60),
  "sim-kv-cache-blocks": wholeNumber([1, 10_000_000], "give the size of the KV cache").default(8192),
  "sim-max-characters-per-token": wholeNumber([1, 1000], "give the longest token's length").default(16),
  "sim-embedding-dimensions": wholeNumber([8, 8192], "give the length of an embedding").default(384),
  "sim-matryoshka": flag,
  "sim-fault": fault.optional(),
  "sim-fault-rate": decimal(0, 1, "give the share of requests that fail").default(1),
  "sim-allow-request-faults": flag,
});

const REPEATED = new Set(["served-model-name", "api-key", "lora-modules"]);

function flagOptions() {
  const entries = Object.entries(flagsSchema.shape).map(([name, schema]) => {
    const type = schema === flag ? ("boolean" as const) : ("string" as const);
    return [name, { type, multiple: REPEATED.has(name) }] as const;
  });
  return Object.fromEntries(entries);
}

// Like vLLM's own parser: a name that may be given several times takes every word up to the next flag.
function spreadRepeated(args: readonly string[]): string[] {
  const spread: string[] = [];
  let repeated: string | undefined;
  for (const arg of args) {
    if (arg.startsWith("--")) {
      repeated = REPEATED.has(arg.slice(2)) ? arg : undefined;
      if (repeated === undefined) spread.push(arg);
    } else if (repeated === undefined) spread.push(arg);
    else spread.push(repeated, arg);
  }
  return spread;
}

type Flags = z.infer<typeof flagsSchema>;

function serverSettings(flags: Flags, environment: NodeJS.ProcessEnv) {
  const environmentKey = environment.VLLM_API_KEY;
  return {
    /** @default "127.0.0.1" */
    host: flags.host,
    /** 0 lets the system choose. @default 8000 */
    port: flags.port,
    apiKeys: flags["api-key"] ?? (environmentKey ? [environmentKey] : []),
    /** Seconds for open requests after SIGTERM; 0 leaves open streams silent, as vLLM does. @default 0 */
    shutdownTimeoutS: flags["shutdown-timeout"],
    /** Tokens of a chunk, after the first chunk's one. @default 1 */
    streamInterval: flags["stream-interval"],
    enableAutoToolChoice: flags["enable-auto-tool-choice"],
    toolCallParser: flags["tool-call-parser"],
    enableRequestIdHeaders: flags["enable-request-id-headers"],
    enablePromptTokensDetails: flags["enable-prompt-tokens-details"],
    enableServerLoadTracking: flags["enable-server-load-tracking"],
    enableForceIncludeUsage: flags["enable-force-include-usage"],
  };
}

function engineSettings(flags: Flags, environment: NodeJS.ProcessEnv) {
  return {
    model: flags.model,
    /** The first is the one that metrics and answers without a model name carry. */
    servedModelNames: flags["served-model-name"] ?? [flags.model],
    runner: flags.runner,
    /** Tokens of prompt and answer together. @default 8192 */
    maxModelLen: flags["max-model-len"],
    /** Sequences that run at once; the others wait in order. @default 256 */
    maxNumSeqs: flags["max-num-seqs"],
    /** Requests in the engine from which on the next one is refused with 503. @default no limit */
    maxNumQueuedReqs: flags["max-num-queued-reqs"],
    /** Tokens of a KV-cache block. @default 16 */
    blockSize: flags["block-size"],
    enableLora: flags["enable-lora"],
    loraModules: flags["lora-modules"],
    maxLoras: flags["max-loras"],
    allowRuntimeLora: environment.VLLM_ALLOW_RUNTIME_LORA_UPDATING === "1",
  };
}

function simulationSettings(flags: Flags) {
  return {
    /** Milliseconds. @default 20 */
    timeToFirstTokenMs: flags["sim-time-to-first-token-ms"],
    /** Milliseconds. @default 5 */
    timePerOutputTokenMs: flags["sim-time-per-output-token-ms"],
    /** Seconds with the port closed. @default 0 */
    startDelayS: flags["sim-start-delay-s"],
    /** @default 0 */
    seed: flags["sim-seed"],
    /** Tokens after which an answer ends with its sentence, give or take half. @default 60 */
    answerTokens: flags["sim-answer-tokens"],
    /** Blocks. @default 8192 */
    kvCacheBlocks: flags["sim-kv-cache-blocks"],
    /** Bound by which a prompt is refused before it is tokenized. @default 16 */
    maxCharactersPerToken: flags["sim-max-characters-per-token"],
    /** @default 384 */
    embeddingDimensions: flags["sim-embedding-dimensions"],
    /** Whether a request may ask for fewer dimensions. @default false */
    matryoshka: flags["sim-matryoshka"],
    fault: flags["sim-fault"],
    /** Share of requests, 0 to 1. @default 1 */
    faultRate: flags["sim-fault-rate"],
    /** Whether the x-sim-fault header is honoured. @default false */
    allowRequestFaults: flags["sim-allow-request-faults"],
  };
}

function toConfig(flags: Flags, environment: NodeJS.ProcessEnv) {
  return {
    ...serverSettings(flags, environment),
    ...engineSettings(flags, environment),
    ...simulationSettings(flags),
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: spreadRepeated(args), options: flagOptions(), strict: true }).values;
  } catch (error) {
    // parseArgs names the flag and, for a word without a flag, the word; a key is only ever a flag's value.
    throw new ConfigError(error instanceof Error ? error.message : String(error));
  }
}

function missingFlags(flags: Flags): string[] {
  const missing: string[] = [];
  if (flags["enable-auto-tool-choice"] && flags["tool-call-parser"] === undefined) {
    missing.push("--enable-auto-tool-choice needs --tool-call-parser; add one, such as hermes");
  }
  if (flags["lora-modules"].length > 0 && !flags["enable-lora"]) {
    missing.push("--lora-modules needs --enable-lora; add it");
  }
  return missing;
}

/** Reads flags and environment; throws a ConfigError that names every problem at once and no secret. */
export function readConfig(args: readonly string[], environment: NodeJS.ProcessEnv): SimulatorConfig {
  const parsed = flagsSchema.safeParse(parseFlags(args));
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `--${String(issue.path[0])} ${issue.message}`);
    throw new ConfigError(lines.join("\n"));
  }
  const flags = parsed.data;
  const missing = missingFlags(flags);
  if (missing.length > 0) throw new ConfigError(missing.join("\n"));
  return toConfig(flags, environment);
}
