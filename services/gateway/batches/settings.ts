import { z } from "zod";

const MEBIBYTE = 1_048_576;

function whole(min: number, max: number, fallback: number) {
  const error = `is no whole number from ${min} to ${max}; give one, or leave it out for ${fallback}`;
  return z.number({ error }).int(error).min(min, error).max(max, error).default(fallback);
}

/** Files and batches. */
export const batchesSettings = z
  .strictObject({
    /** Bytes of the largest file that is taken. @default 104857600 (100 MiB) */
    maxFileBytes: whole(1_024, 1_024 * MEBIBYTE, 100 * MEBIBYTE),
    /** Bytes of all files that a tenant may keep. @default 1073741824 (1 GiB) */
    maxTenantBytes: whole(1_024, 1_024 * 1_024 * MEBIBYTE, 1_024 * MEBIBYTE),
    /** Files that a tenant may keep. @default 10000 */
    maxTenantFiles: whole(1, 1_000_000, 10_000),
    /** Days after which a file goes that was given no expiry of its own. @default 30 (as OpenAI keeps batch files) */
    fileRetentionDays: whole(1, 3_650, 30),
    /** Requests in one batch. @default 50000 (as at OpenAI) */
    maxLines: whole(1, 1_000_000, 50_000),
    /** Bytes of one request in a batch. @default 1048576 (1 MiB) */
    maxLineBytes: whole(1_024, 100 * MEBIBYTE, MEBIBYTE),
    /** Batches of one tenant that are not finished. @default 100 */
    maxTenantBatches: whole(1, 100_000, 100),
    /** Requests of batches that one gateway has under way; 0 leaves the work to other gateways. @default 8 */
    concurrency: whole(0, 1_000, 8),
    /** Requests of clients under way in a gateway above which it runs one request of batches at a time. @default 16 */
    yieldAbove: whole(0, 100_000, 16),
    /** Seconds after which others take up the work of a gateway that shows no sign of life. @default 30 */
    leaseSeconds: whole(2, 3_600, 30),
    /** Milliseconds between two looks for work. @default 1000 */
    pollMs: whole(10, 60_000, 1_000),
  })
  .prefault({});

export type BatchesSettings = z.infer<typeof batchesSettings>;
