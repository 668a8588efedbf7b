import { ApiError } from "../api/errors.ts";
import { isBatchId, isFileId } from "../batches/ids.ts";
import { toBatchObject, toList } from "../batches/objects.ts";
import { toCredential } from "../batches/principals.ts";
import { createBatchRequest, WINDOW_SECONDS } from "../batches/schemas.ts";
import type { Step } from "../exchange.ts";
import { permits } from "../tenancy/grants.ts";
import type { Resource } from "../tenancy/principal.ts";
import { answerWith, type ContentContext, notFound, withContent } from "./files.ts";
import { readPage } from "./paging.ts";
import { readValid } from "./validate.ts";

const PAGE = { defaultLimit: 20, maxLimit: 100 };
const NEEDED = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
  "/v1/embeddings": "embeddings",
} as const satisfies Record<string, Resource>;

/** Takes a batch: its input is checked and its lines are run in the background. */
export const createBatch = withContent(["create", "batches"], async (context) => {
  const { batches, exchange, gateway, principal } = context;
  const asked = await readValid(exchange, gateway, createBatchRequest);
  if (!permits(principal, "create", NEEDED[asked.endpoint])) throw new ApiError("permission");
  await checkInputFile(context, asked.input_file_id);
  const { maxTenantBatches } = gateway.settings.batches;
  const batch = await batches.create(
    {
      author: { tenant: principal.tenant.id, project: principal.project, keyId: principal.keyId },
      ...toCredential(exchange.request.headers.authorization, principal),
      endpoint: asked.endpoint,
      inputFileId: asked.input_file_id,
      completionWindow: asked.completion_window,
      windowSeconds: WINDOW_SECONDS,
      metadata: asked.metadata ?? undefined,
      outputSeconds: asked.output_expires_after?.seconds,
    },
    maxTenantBatches,
  );
  if (!batch) {
    const message = `You have ${maxTenantBatches} batches that are not finished, as many as you may have.`;
    throw new ApiError("rate_limit_exceeded", { message, retryAfterSeconds: 60 });
  }
  answerWith(exchange, toBatchObject(batch));
});

async function checkInputFile({ files, principal }: ContentContext, id: string): Promise<void> {
  const file = isFileId(id) ? await files.find(principal.tenant.id, id) : undefined;
  if (file?.purpose === "batch") return;
  const message = "'input_file_id' is no file of yours that was made for batches.";
  throw new ApiError("invalid_request", { message, param: "input_file_id" });
}

/** Answers with a page of the tenant's batches. */
export const listBatches = withContent(["read", "batches"], async ({ batches, exchange, principal }) => {
  const { page } = readPage(exchange.request, PAGE);
  const found = await batches.list(principal.tenant.id, { ...page, limit: page.limit + 1 });
  answerWith(exchange, toList(found.map(toBatchObject), page.limit));
});

/** Answers with one batch. */
export function describeBatch(id: string): Step {
  return withContent(["read", "batches"], async ({ batches, exchange, principal }) => {
    const batch = isBatchId(id) ? await batches.find(principal.tenant.id, id) : undefined;
    if (!batch) throw notFound("batch");
    answerWith(exchange, toBatchObject(batch));
  });
}

/** Ends a batch before its time. */
export function cancelBatch(id: string): Step {
  return withContent(["write", "batches"], async ({ batches, exchange, principal }) => {
    const tenant = principal.tenant.id;
    const cancelled = isBatchId(id) ? await batches.cancel(tenant, id) : undefined;
    const batch = cancelled ?? (isBatchId(id) ? await batches.find(tenant, id) : undefined);
    if (!batch) throw notFound("batch");
    // One that is being cancelled already is no news; any other has ended.
    if (!cancelled && batch.status !== "cancelling" && batch.status !== "cancelled") {
      const message = `A batch that is ${batch.status} cannot be cancelled.`;
      throw new ApiError("invalid_request", { message });
    }
    answerWith(exchange, toBatchObject(batch));
  });
}
