import { z } from "zod";

/** What a batch may ask for. */
export const BATCH_ENDPOINTS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] as const;
export const COMPLETION_WINDOW = "24h";
export const WINDOW_SECONDS = 86_400;

const MAX_METADATA = 16;
const MIN_EXPIRY_SECONDS = 3_600;
const MAX_EXPIRY_SECONDS = 2_592_000;

const seconds = z
  .int({ error: `must be a whole number from ${MIN_EXPIRY_SECONDS} to ${MAX_EXPIRY_SECONDS}` })
  .min(MIN_EXPIRY_SECONDS, `must be at least ${MIN_EXPIRY_SECONDS}`)
  .max(MAX_EXPIRY_SECONDS, `must be at most ${MAX_EXPIRY_SECONDS}`);

/** When a file goes, from the moment it was made. */
export const expiresAfter = z
  .object(
    { anchor: z.literal("created_at", { error: "must be 'created_at'" }), seconds },
    { error: "must be an object" },
  )
  .meta({ id: "ExpiresAfter" });

const metadata = z
  .record(
    z.string().max(64, "must have keys of at most 64 characters"),
    z.string({ error: "must be a string" }).max(512, "must be at most 512 characters"),
    { error: "must be an object" },
  )
  .refine((value) => Object.keys(value).length <= MAX_METADATA, {
    error: `must hold at most ${MAX_METADATA} entries`,
  });

export const createBatchRequest = z
  .object({
    input_file_id: z.string({ error: "must be a string: the id of a file" }).max(256, "is no file's id"),
    endpoint: z.enum(BATCH_ENDPOINTS, { error: `must be one of ${BATCH_ENDPOINTS.join(", ")}` }),
    completion_window: z.literal(COMPLETION_WINDOW, { error: `must be '${COMPLETION_WINDOW}'` }),
    metadata: metadata.nullish(),
    output_expires_after: expiresAfter.nullish(),
  })
  .meta({ id: "CreateBatchRequest" });

const time = z.number().int();

export const fileObject = z
  .object({
    id: z.string(),
    object: z.literal("file"),
    bytes: z.number().int().nonnegative(),
    created_at: time,
    expires_at: time.optional(),
    filename: z.string(),
    purpose: z.enum(["batch", "batch_output"]),
    status: z.literal("processed"),
  })
  .meta({ id: "File" });

const listed = {
  object: z.literal("list"),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
};

export const fileList = z.object({ ...listed, data: z.array(fileObject) }).meta({ id: "FileList" });

export const deletedFile = z
  .object({ id: z.string(), object: z.literal("file"), deleted: z.literal(true) })
  .meta({ id: "DeletedFile" });

const batchProblem = z.object({
  code: z.string(),
  message: z.string(),
  param: z.string().nullable(),
  line: z.number().int().nullable(),
});

const moment = time.nullable();

export const batchObject = z
  .object({
    id: z.string(),
    object: z.literal("batch"),
    endpoint: z.enum(BATCH_ENDPOINTS),
    errors: z.object({ object: z.literal("list"), data: z.array(batchProblem) }).nullable(),
    input_file_id: z.string(),
    completion_window: z.string(),
    status: z.enum([
      "validating",
      "failed",
      "in_progress",
      "finalizing",
      "completed",
      "expired",
      "cancelling",
      "cancelled",
    ]),
    output_file_id: z.string().nullable(),
    error_file_id: z.string().nullable(),
    created_at: time,
    in_progress_at: moment,
    expires_at: moment,
    finalizing_at: moment,
    completed_at: moment,
    failed_at: moment,
    expired_at: moment,
    cancelling_at: moment,
    cancelled_at: moment,
    request_counts: z.object({ total: time, completed: time, failed: time }),
    metadata: z.record(z.string(), z.string()).nullable(),
  })
  .meta({ id: "Batch" });

export const batchList = z.object({ ...listed, data: z.array(batchObject) }).meta({ id: "BatchList" });
