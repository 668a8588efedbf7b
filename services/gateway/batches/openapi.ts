import type { z } from "zod";
import type { ErrorName } from "../api/errors.ts";
import { PATHS } from "../contract.ts";
import * as schemas from "./schemas.ts";

type Json = Record<string, unknown>;

/** What the whole document's operations are made of. */
export interface DocumentTools {
  readonly parameters: readonly Json[];
  answer(description: string, schema: Json): Json;
  errorResponses(errors: readonly ErrorName[]): Json;
}

/** The schemas that the paths refer to. */
export const batchSchemas: readonly z.ZodType[] = [
  schemas.expiresAfter,
  schemas.createBatchRequest,
  schemas.fileObject,
  schemas.fileList,
  schemas.deletedFile,
  schemas.batchObject,
  schemas.batchList,
];

const ERRORS: readonly ErrorName[] = [
  "authentication_error",
  "permission",
  "not_found",
  "headers_too_large",
  "server_error",
  "unavailable",
];
const PAGE = [
  query("limit", { type: "integer", minimum: 1 }, "Entries of a page."),
  query("after", { type: "string" }, "The id after which the page begins."),
  query("order", { type: "string", enum: ["asc", "desc"], default: "desc" }, "By the time they were made."),
];
const FORM = {
  type: "object",
  required: ["file", "purpose"],
  properties: {
    file: { type: "string", format: "binary", description: "One request for each line, as JSON." },
    purpose: { type: "string", enum: ["batch"] },
    "expires_after[anchor]": { type: "string", enum: ["created_at"] },
    "expires_after[seconds]": { type: "integer", minimum: 3_600, maximum: 2_592_000 },
  },
};

function query(name: string, schema: Json, description: string): Json {
  return { name, in: "query", required: false, description, schema };
}

function inPath(name: string): Json {
  return { name, in: "path", required: true, schema: { type: "string" } };
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

interface Operation {
  readonly id: string;
  readonly summary: string;
  readonly result: string;
  readonly parameters?: readonly Json[];
  readonly body?: Json;
  readonly errors?: readonly ErrorName[];
}

/** The paths for files and batches; a gateway without a database or keys for stored content has none of them. */
export function batchPaths(tools: DocumentTools): Json {
  const operation = ({ id, summary, result, parameters = [], body, errors = [] }: Operation): Json => ({
    operationId: id,
    summary,
    parameters: [...tools.parameters, ...parameters],
    ...(body ? { requestBody: { required: true, content: body } } : {}),
    responses: {
      200: tools.answer("The answer.", ref(result)),
      ...tools.errorResponses([...ERRORS, ...errors]),
    },
  });
  return { ...filePaths(operation, tools), ...pathsOfBatches(operation) };
}

type Make = (operation: Operation) => Json;

function filePaths(operation: Make, tools: DocumentTools): Json {
  const id = inPath("file_id");
  const purpose = query("purpose", { type: "string" }, "Only files that were made for this.");
  const taken: Operation = {
    id: "createFile",
    summary: "Takes a file that holds the requests of a batch.",
    result: "File",
    body: { "multipart/form-data": { schema: FORM } },
    errors: ["invalid_request", "request_too_large"],
  };
  const list: Operation = {
    id: "listFiles",
    summary: "Answers with a page of files.",
    result: "FileList",
    parameters: [...PAGE, purpose],
    errors: ["invalid_request"],
  };
  const one = { parameters: [id] };
  return {
    [PATHS.files]: { get: operation(list), post: operation(taken) },
    [PATHS.file]: {
      get: operation({ ...one, id: "retrieveFile", summary: "Describes a file.", result: "File" }),
      delete: operation({ ...one, id: "deleteFile", summary: "Deletes a file.", result: "DeletedFile" }),
    },
    [PATHS.fileContent]: {
      get: {
        operationId: "downloadFile",
        summary: "Answers with a file's bytes.",
        parameters: [...tools.parameters, id],
        responses: {
          200: {
            description: "The bytes.",
            content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
          },
          ...tools.errorResponses(ERRORS),
        },
      },
    },
  };
}

function pathsOfBatches(operation: Make): Json {
  const one = { parameters: [inPath("batch_id")], result: "Batch" };
  const list: Operation = {
    id: "listBatches",
    summary: "Answers with a page of batches.",
    result: "BatchList",
    parameters: PAGE,
    errors: ["invalid_request"],
  };
  const made: Operation = {
    id: "createBatch",
    summary: "Runs the requests of a file in the background.",
    result: "Batch",
    body: { "application/json": { schema: ref("CreateBatchRequest") } },
    errors: ["invalid_request", "request_too_large", "rate_limit_exceeded"],
  };
  return {
    [PATHS.batches]: { get: operation(list), post: operation(made) },
    [PATHS.batch]: { get: operation({ ...one, id: "retrieveBatch", summary: "Describes a batch." }) },
    [PATHS.batchCancel]: {
      post: operation({
        ...one,
        id: "cancelBatch",
        summary: "Ends a batch before its time.",
        errors: ["invalid_request"],
      }),
    },
  };
}
