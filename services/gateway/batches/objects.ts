import type { z } from "zod";
import type { StoredBatch } from "./batch-store.ts";
import type { StoredFile } from "./file-store.ts";
import type { batchObject, fileObject } from "./schemas.ts";

/** A file as the API describes it. */
export function toFileObject(file: StoredFile): z.infer<typeof fileObject> {
  return {
    id: file.id,
    object: "file",
    bytes: file.bytes,
    created_at: file.createdAt,
    ...(file.expiresAt === undefined ? {} : { expires_at: file.expiresAt }),
    filename: file.filename,
    purpose: file.purpose === "batch" ? "batch" : "batch_output",
    status: "processed",
  };
}

/** A batch as the API describes it. */
export function toBatchObject(batch: StoredBatch): Omit<z.infer<typeof batchObject>, "endpoint"> {
  const { counts, errors, times } = batch;
  const { created_at = 0, ...moments } = times;
  return {
    id: batch.id,
    object: "batch",
    ...{ endpoint: batch.endpoint },
    errors: errors === undefined ? null : { object: "list", data: [...errors] },
    input_file_id: batch.inputFileId,
    completion_window: batch.completionWindow,
    status: batch.status,
    output_file_id: batch.outputFileId ?? null,
    error_file_id: batch.errorFileId ?? null,
    created_at: created_at ?? 0,
    in_progress_at: moments.in_progress_at ?? null,
    expires_at: moments.expires_at ?? null,
    finalizing_at: moments.finalizing_at ?? null,
    completed_at: moments.completed_at ?? null,
    failed_at: moments.failed_at ?? null,
    expired_at: moments.expired_at ?? null,
    cancelling_at: moments.cancelling_at ?? null,
    cancelled_at: moments.cancelled_at ?? null,
    request_counts: { ...counts },
    metadata: batch.metadata ? { ...batch.metadata } : null,
  };
}

/** A page of a listing. @param found one more than the page holds, if there are more */
export function toList(found: readonly { readonly id: string }[], limit: number): object {
  const data = found.slice(0, limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: found.length > limit,
  };
}
