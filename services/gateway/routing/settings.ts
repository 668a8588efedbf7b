import { z } from "zod";

const NAME = z
  .string({ error: "is no text; name a model" })
  .min(1, "is empty; name a model")
  .max(256, "is too long; use at most 256 characters")
  // Answers name models in their headers.
  .regex(/^[\x20-\x7e]+$/, "holds characters that no header can; use printable ASCII");
const REGION = z.string({ error: "is no text; name a region" }).min(1, "is empty; name a region").max(64);

function share(fallback: number) {
  const error = "is no number from 0 to 1; give one";
  return z.number({ error }).min(0, error).max(1, error).default(fallback);
}

function seconds(max: number) {
  const error = `is no number of seconds from 0.05 to ${max}; give one, or leave it out`;
  return z.number({ error }).min(0.05, error).max(max, error).optional();
}

const weighted = z.strictObject({
  model: NAME,
  weight: z.number({ error: "is no number; give one above 0" }).positive("is not above 0; give one above 0"),
});

const alias = z.union([NAME, z.array(weighted).min(1, "is empty; name at least one {model, weight}")], {
  error: "is neither a model nor a list; name a model, or give a list of {model, weight}",
});

const task = z.strictObject({
  simple: NAME,
  complex: NAME,
  code: NAME,
  /** Complexity above which a request is complex, see complexity.ts. @default 0.3: three words that ask for reasoning */
  complexAbove: share(0.3),
});

const hybrid = z.strictObject({
  local: NAME,
  external: NAME,
  /** Complexity above which gold tenants are answered outside. @default 0.8 */
  complexityAbove: share(0.8),
  /** Busy share of the local replicas above which requests go outside. @default 0.85 */
  loadAbove: share(0.85),
  /** Share of requests of low sensitivity that go outside. @default 0.1 */
  externalShare: share(0.1),
});

/** Names that clients may use beside those of models, and what answers them. */
export const routingSettings = z
  .strictObject({
    /** A name for a model, or for several by weight. */
    aliases: z.record(NAME, alias).default({}),
    /** Names whose requests go by what they ask for, or by the header x-task. */
    tasks: z.record(NAME, task).default({}),
    /** Names whose requests go to a local model or to one outside, by the hybrid rule. */
    hybrid: z.record(NAME, hybrid).default({}),
  })
  .prefault({});

/** Prompts that begin alike go to the same replica, which has their beginning in its cache. */
export const affinitySettings = z
  .strictObject({
    /** @default false: each request goes to the replica that has the least to do */
    enabled: z.boolean({ error: "is neither true nor false; use one of them" }).default(false),
    /** Characters of the prompt's beginning that must be alike. @default 1024 */
    prefixCharacters: z
      .int({ error: "is no whole number; give one from 16 to 65536" })
      .min(16, "is below 16; give 16 to 65536")
      .max(65_536, "is above 65536; give 16 to 65536")
      .default(1024),
    /** Load that a replica may have as a multiple of the mean before a prompt spills over. @default 1.25 */
    loadFactor: z
      .number({ error: "is no number; give one above 1" })
      .gt(1, "is not above 1; give one above 1")
      .max(100, "is above 100; give at most 100")
      .default(1.25),
  })
  .prefault({});

const degraded = z.strictObject({
  message: z
    .string({ error: "is no text; say what clients are told" })
    .min(1, "is empty; say what clients are told")
    .max(2000, "is too long; use at most 2000 characters"),
  /** As an error (503), or as a complete answer with the header x-degraded. @default "error" */
  as: z.enum(["error", "answer"], { error: 'is unknown; use "error" or "answer"' }).default("error"),
});

const modelEntry = z.strictObject({
  /** Who answers for it. @default the replicas that GATEWAY_MODELS gives it */
  provider: z.string({ error: "is no text; name a provider" }).optional(),
  /** What the provider calls it. @default its own name */
  upstream: NAME.optional(),
  /** Of a provider's model; own models say it in GATEWAY_MODELS. @default "chat" */
  task: z.enum(["chat", "embeddings"], { error: 'is unknown; use "chat" or "embeddings"' }).optional(),
  /** Where its backends are, unless they say it themselves. @default the provider's region, or none */
  region: REGION.optional(),
  /** Models that are asked in turn when all of its backends have failed. @default none */
  fallbacks: z.array(NAME, { error: "is no list; give names of models" }).default([]),
  /** Seconds that one try may take before another one is made. @default what is left of the deadline */
  timeoutSeconds: seconds(3600),
  /** Seconds until an answer must be complete or a stream must have begun. @default resilience.deadlineSeconds */
  deadlineSeconds: seconds(3600),
  /** Requests that one replica, or the provider, works on at a time; more wait. @default queue.perReplica */
  maxConcurrency: z
    .int({ error: "is no whole number; give one above 0" })
    .min(1, "is below 1; give one above 0")
    .optional(),
  /** Tokens an answer may have if its request does not say; for providers that insist on a number. @default 4096 */
  maxTokens: z
    .int({ error: "is no whole number; give one above 0" })
    .min(1, "is below 1; give one above 0")
    .default(4096),
  /** What clients are told when nothing can answer. @default the error of the last try */
  degraded: degraded.optional(),
});

/** Models by name: what is known of them beside their replicas, and those that a provider answers for. */
export const modelsSettings = z.record(NAME, modelEntry).default({});

/** Regions by the region of a tenant: where its data may go. A region without an entry allows itself alone. */
export const residencySettings = z
  .record(REGION, z.array(REGION, { error: "is no list; give names of regions" }))
  .default({})
  // Requirements H5.
  .transform((rules): Record<string, string[]> => ({ taiwan: ["taiwan", "asia-pacific"], ...rules }));

export type ModelEntry = z.infer<typeof modelEntry>;
export type Degraded = z.infer<typeof degraded>;
