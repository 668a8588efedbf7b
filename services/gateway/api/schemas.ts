import { z } from "zod";

// Only the fields that the gateway itself relies on. Every other field is the engine's business and reaches it as it
// was sent, so that a new engine parameter needs no new gateway.

const model = z
  .string({ error: "must be a string: the name of a model from /v1/models" })
  .min(1, "must not be empty")
  .max(256, "must be at most 256 characters")
  .meta({ description: "A name from /v1/models." });

const stream = z
  .boolean({ error: "must be true or false" })
  .nullish()
  .meta({ description: "Answer as server-sent events that end with [DONE]." });

const streamOptions = z
  .looseObject(
    { include_usage: z.boolean({ error: "must be true or false" }).nullish() },
    { error: "must be an object" },
  )
  .nullish()
  .meta({ description: "Only with stream; include_usage adds a last chunk that holds the token usage." });

// Engines read "8" as 8: what decides how much is reserved and billed must mean the same to all.
const amount = z
  .int({ error: "must be a whole number" })
  .nonnegative({ error: "must not be negative" })
  .nullish();
const amounts = { n: amount, best_of: amount, max_tokens: amount, max_completion_tokens: amount };

const message = z.looseObject(
  { role: z.string({ error: "must be a string" }).min(1, "must not be empty") },
  { error: "must be an object" },
);

export const chatRequest = z
  .looseObject({
    model,
    messages: z
      .array(message, { error: "must be a list of messages" })
      .min(1, "must hold at least one message"),
    stream,
    stream_options: streamOptions,
    ...amounts,
  })
  .meta({ id: "ChatCompletionRequest", description: "Further fields reach the engine unchanged." });

export const completionRequest = z
  .looseObject({
    model,
    prompt: z.union([z.string(), z.array(z.unknown()).min(1)], {
      error: "must be a string or a list that is not empty",
    }),
    stream,
    stream_options: streamOptions,
    ...amounts,
  })
  .meta({ id: "CompletionRequest", description: "Further fields reach the engine unchanged." });

export const embeddingsRequest = z
  .looseObject({
    model,
    input: z.union([z.string().min(1), z.array(z.unknown()).min(1)], {
      error: "must be a string or a list that is not empty",
    }),
  })
  .meta({ id: "EmbeddingsRequest", description: "Further fields reach the engine unchanged." });

export const feedbackRequest = z
  .object({
    token: z
      .string({ error: "must be a string: the x-feedback-token of an answer" })
      .max(256, "must be at most 256 characters"),
    rating: z.enum(["good", "bad"], { error: 'must be "good" or "bad"' }),
  })
  .meta({ id: "FeedbackRequest" });

const tokens = z.number().int().nonnegative();

/** The part of an engine's `usage` that is recorded. */
export const usage = z
  .looseObject({
    prompt_tokens: tokens,
    completion_tokens: tokens.default(0),
    // Some backends leave it out, and it says nothing that the others do not.
    total_tokens: tokens.nullish(),
  })
  .meta({ id: "Usage" });

const choices = z.array(z.looseObject({ index: z.number().int(), finish_reason: z.string().nullable() }));

function completion(id: string, object: string) {
  return z
    .looseObject({
      id: z.string(),
      object: z.literal(object),
      created: z.number().int(),
      model: z.string(),
      choices,
      usage: usage.nullish(),
    })
    .meta({ id });
}

export const chatResponse = completion("ChatCompletion", "chat.completion");
export const completionResponse = completion("Completion", "text_completion");

export const embeddingsResponse = z
  .looseObject({
    object: z.literal("list"),
    data: z.array(
      z.looseObject({ index: z.number().int(), embedding: z.union([z.array(z.number()), z.string()]) }),
    ),
    model: z.string(),
    usage,
  })
  .meta({ id: "EmbeddingList" });

export const modelObject = z
  .object({ id: z.string(), object: z.literal("model"), created: z.number().int(), owned_by: z.string() })
  .meta({ id: "Model" });

export const modelList = z
  .object({ object: z.literal("list"), data: z.array(modelObject) })
  .meta({ id: "ModelList" });

export const feedbackResponse = z
  .object({
    object: z.literal("feedback"),
    accepted: z.boolean().meta({ description: "False for a token that has voted before: it counts once." }),
  })
  .meta({ id: "Feedback" });

export const errorBody = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .meta({ id: "Error" });

const count = z.number().int().nonnegative();

export const readiness = z
  .object({
    status: z.enum(["ready", "not_ready", "draining"]),
    color: z.string(),
    release: z.string(),
    models: z.array(z.object({ name: z.string(), replicas: count, healthy: count })),
    dependencies: z.array(z.object({ name: z.string(), status: z.enum(["up", "down"]) })),
  })
  .meta({ id: "Readiness" });

export type Usage = z.infer<typeof usage>;
export type ModelObject = z.infer<typeof modelObject>;
export type Readiness = z.infer<typeof readiness>;
