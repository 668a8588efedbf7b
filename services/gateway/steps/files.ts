import { ApiError } from "../api/errors.ts";
import { StorageAway } from "../batches/database.ts";
import { type OpenFile, QuotaExceeded, type StoredFile } from "../batches/file-store.ts";
import { isFileId } from "../batches/ids.ts";
import { toFileObject, toList } from "../batches/objects.ts";
import { expiresAfter } from "../batches/schemas.ts";
import type { BatchService } from "../batches/service.ts";
import { readUpload, tooLarge } from "../batches/upload.ts";
import type { Exchange, Gateway, Step } from "../exchange.ts";
import type { Action, Principal, Resource } from "../tenancy/principal.ts";
import { authenticated, authorise } from "./authorise.ts";
import { readPage } from "./paging.ts";

const PURPOSE = "batch";
const MAX_LISTED = 10_000;
const SECONDS_PER_DAY = 86_400;
// What a form adds to its file: boundaries, headers and the other fields.
const MAX_FORM_BYTES = 65_536;

/** Everything that a step about stored content works with. */
export interface ContentContext extends BatchService {
  readonly exchange: Exchange;
  readonly gateway: Gateway;
  readonly principal: Principal;
}

/** A step for callers who may do this; an unreachable database is told as such. */
export function withContent(
  [action, resource]: readonly [Action, Resource],
  work: (context: ContentContext) => Promise<void>,
): Step {
  const authoriseContent = authorise(action, resource);
  return async function useContent(exchange, gateway) {
    await authoriseContent(exchange, gateway);
    const principal = authenticated(exchange);
    const { batches } = gateway;
    if (!batches) throw new ApiError("not_found");
    try {
      await work({ ...batches, exchange, gateway, principal });
    } catch (error) {
      throw error instanceof StorageAway ? new ApiError("unavailable") : error;
    }
  };
}

export function answerWith(exchange: Exchange, body: object): void {
  exchange.answer = { kind: "json", status: 200, body: JSON.stringify(body) };
}

/** Takes a file. */
export const createFile = withContent(["create", "files"], async (context) => {
  const { maxFileBytes } = context.gateway.settings.batches;
  const { request } = context.exchange;
  if (Number(request.headers["content-length"] ?? 0) > maxFileBytes + MAX_FORM_BYTES)
    throw tooLarge(maxFileBytes);
  const file = await context.uploads.use(context.principal.tenant.id, () => store(context));
  answerWith(context.exchange, toFileObject(file));
});

async function store(context: ContentContext): Promise<StoredFile> {
  const { exchange, files, principal, gateway } = context;
  const { maxFileBytes, maxTenantBytes, maxTenantFiles, fileRetentionDays } = gateway.settings.batches;
  const author = { tenant: principal.tenant.id, project: principal.project, keyId: principal.keyId };
  const bounds = { maxFileBytes, idleMs: gateway.config.requestTimeoutSeconds * 1000 };
  let begun: OpenFile | undefined;
  try {
    const { fields, stored } = await readUpload(exchange.request, bounds, async (filename, content) => {
      begun = await files.begin({ author, purpose: PURPOSE, filename }, maxTenantFiles);
      return { file: begun, bytes: await files.write(begun, content, maxTenantBytes) };
    });
    if (stored.bytes === 0) throw invalid("'file' is empty.", "file");
    checkPurpose(fields.get("purpose"));
    const seconds = readExpiry(fields) ?? fileRetentionDays * SECONDS_PER_DAY;
    return await files.finish(stored.file, seconds);
  } catch (error) {
    // It stays unseen, and goes in the background.
    if (begun) await files.abandon(begun).catch(() => undefined);
    throw error instanceof QuotaExceeded ? quotaError(error) : error;
  }
}

function checkPurpose(purpose: string | undefined): void {
  if (purpose === PURPOSE) return;
  const message =
    purpose === undefined
      ? "'purpose' is missing."
      : `'purpose' must be '${PURPOSE}'; others are not supported.`;
  throw invalid(message, "purpose");
}

function readExpiry(fields: ReadonlyMap<string, string>): number | undefined {
  const anchor = fields.get("expires_after[anchor]");
  const seconds = fields.get("expires_after[seconds]");
  if (anchor === undefined && seconds === undefined) return undefined;
  const parsed = expiresAfter.safeParse({ anchor, seconds: Number(seconds) });
  if (parsed.success) return parsed.data.seconds;
  const [issue] = parsed.error.issues;
  const param = `expires_after[${issue?.path.join(".")}]`;
  throw invalid(`'${param}' ${issue?.message}.`, param);
}

function quotaError({ because }: QuotaExceeded): ApiError {
  if (because === "bytes") {
    const message = "Your files hold as many bytes as they may. Delete some, or let them expire.";
    return new ApiError("request_too_large", { message, param: "file" });
  }
  return invalid("You have as many files as you may have. Delete some, or let them expire.", "file");
}

function invalid(message: string, param: string): ApiError {
  return new ApiError("invalid_request", { message, param });
}

/** Answers with a page of the tenant's files. */
export const listFiles = withContent(["read", "files"], async ({ exchange, files, principal }) => {
  const { page, query } = readPage(exchange.request, { defaultLimit: MAX_LISTED, maxLimit: MAX_LISTED });
  const purpose = query.get("purpose") ?? undefined;
  const found = await files.list(principal.tenant.id, { ...page, limit: page.limit + 1 }, purpose);
  answerWith(exchange, toList(found.map(toFileObject), page.limit));
});

/** Answers with one file's description. */
export function describeFile(id: string): Step {
  return withContent(["read", "files"], async ({ exchange, files, principal }) => {
    const file = isFileId(id) ? await files.find(principal.tenant.id, id) : undefined;
    if (!file) throw notFound("file");
    answerWith(exchange, toFileObject(file));
  });
}

/** Answers with one file's bytes. */
export function readFile(id: string): Step {
  return withContent(["read", "files"], async ({ exchange, files, principal }) => {
    const file = isFileId(id) ? await files.find(principal.tenant.id, id) : undefined;
    if (!file) throw notFound("file");
    const content = files.read(principal.tenant.id, id);
    // Before the head is sent: a file that cannot be read must not begin as if it could.
    const first = await content.next();
    const bytes = first.done ? Buffer.alloc(0) : first.value;
    exchange.answer = { kind: "content", bytes: file.bytes, first: bytes, rest: content };
  });
}

/** Deletes a file. */
export function deleteFile(id: string): Step {
  return withContent(["write", "files"], async ({ exchange, files, principal }) => {
    const isDeleted = isFileId(id) && (await files.delete(principal.tenant.id, id));
    if (!isDeleted) throw notFound("file");
    answerWith(exchange, { id, object: "file", deleted: true });
  });
}

/** The same for what never was and for another tenant's. */
export function notFound(what: "file" | "batch"): ApiError {
  return new ApiError("not_found", { message: `There is no such ${what}.`, param: "id" });
}
