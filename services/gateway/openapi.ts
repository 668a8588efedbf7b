import { z } from "zod";
import { adminPaths, adminSchemas } from "./admin/openapi.ts";
import { CATALOGUE, type ErrorName } from "./api/errors.ts";
import * as schemas from "./api/schemas.ts";
import { batchPaths, batchSchemas } from "./batches/openapi.ts";
import {
  DEGRADED_HEADER,
  FALLBACK_HEADER,
  FEEDBACK_HEADER,
  PATHS,
  RELEASE_HEADER,
  REQUEST_ID_HEADER,
  SENSITIVITY_HEADER,
  TASK_HEADER,
  USER_ID_HEADER,
} from "./contract.ts";
import { TASKS } from "./routing/complexity.ts";
import { SENSITIVITIES } from "./tenancy/principal.ts";

const JSON_TYPE = "application/json";
const STREAM_DESCRIPTION = "With stream: true, chunks as server-sent events that end with [DONE].";

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document, made from the schemas that requests are checked with. */
export function openApiDocument(): string {
  return JSON.stringify({
    openapi: "3.1.0",
    info: {
      title: "LLM platform gateway",
      version: "1",
      description: "An OpenAI-compatible API in front of self-hosted models.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ apiKey: [] }],
    paths: paths(),
    components: {
      schemas: componentSchemas(),
      securitySchemes: { apiKey: { type: "http", scheme: "bearer" } },
      parameters: {
        requestId: REQUEST_ID_PARAMETER,
        userId: USER_ID_PARAMETER,
        task: TASK_PARAMETER,
        sensitivity: SENSITIVITY_PARAMETER,
      },
      headers: HEADERS,
    },
  });
}

const REQUEST_ID_PARAMETER = {
  name: REQUEST_ID_HEADER,
  in: "header",
  required: false,
  description:
    "Taken over if it is a plain token of at most 128 characters; the answer carries the id in use.",
  schema: { type: "string", maxLength: 128 },
};

const USER_ID_PARAMETER = {
  name: USER_ID_HEADER,
  in: "header",
  required: false,
  description:
    "The user that the client acts for, whom feature flags go by; without it they go by the API key's id.",
  schema: { type: "string", minLength: 1, maxLength: 256 },
};

const TASK_PARAMETER = {
  name: TASK_HEADER,
  in: "header",
  required: false,
  description:
    "What the request is, for names that choose their model by it; found out where it is left out.",
  schema: { type: "string", enum: TASKS },
};

const SENSITIVITY_PARAMETER = {
  name: SENSITIVITY_HEADER,
  in: "header",
  required: false,
  description: "How confidential the request is. Raises what its tenant says, and never lowers it.",
  schema: { type: "string", enum: SENSITIVITIES },
};

const COMMON_PARAMETERS = [
  { $ref: "#/components/parameters/requestId" },
  { $ref: "#/components/parameters/userId" },
];

const INFERENCE_PARAMETERS = [
  ...COMMON_PARAMETERS,
  { $ref: "#/components/parameters/task" },
  { $ref: "#/components/parameters/sensitivity" },
];

const INFERENCE_HEADERS = [FEEDBACK_HEADER, FALLBACK_HEADER, DEGRADED_HEADER];

const HEADERS = {
  [RELEASE_HEADER]: { description: "The release that answered.", schema: { type: "string" } },
  [FEEDBACK_HEADER]: {
    description: `Rates this answer at ${PATHS.feedback}; absent where no feedback is wanted.`,
    schema: { type: "string" },
  },
  [FALLBACK_HEADER]: {
    description: "The model that answered in place of the one that was asked for; else absent.",
    schema: { type: "string" },
  },
  [DEGRADED_HEADER]: {
    description: "On an answer that only says that there is none; else absent.",
    schema: { const: "true" },
  },
};

function paths(): Json {
  return {
    [PATHS.chatCompletions]: {
      post: inference("createChatCompletion", "ChatCompletionRequest", "ChatCompletion"),
    },
    [PATHS.completions]: { post: inference("createCompletion", "CompletionRequest", "Completion") },
    [PATHS.embeddings]: { post: inference("createEmbedding", "EmbeddingsRequest", "EmbeddingList") },
    [PATHS.models]: { get: listing("listModels", "ModelList", []) },
    [`${PATHS.models}/{model}`]: {
      get: {
        ...listing("retrieveModel", "Model", ["model_not_found"]),
        parameters: [
          ...COMMON_PARAMETERS,
          { name: "model", in: "path", required: true, schema: { type: "string" } },
        ],
      },
    },
    [PATHS.feedback]: { post: feedback() },
    ...adminPaths(),
    ...batchPaths({ parameters: COMMON_PARAMETERS, answer, errorResponses }),
    [PATHS.health]: { get: operation("health", "The process lives.", { type: "object" }) },
    [PATHS.ready]: {
      get: {
        ...operation("ready", "At least one chat model has a healthy replica.", ref("Readiness")),
        responses: {
          200: content("Ready.", JSON_TYPE, ref("Readiness")),
          503: content("Not ready yet, or draining.", JSON_TYPE, ref("Readiness")),
        },
      },
    },
    [PATHS.metrics]: {
      get: {
        operationId: "metrics",
        summary: "Metrics for Prometheus.",
        security: [],
        responses: { 200: content("Prometheus text format.", "text/plain", { type: "string" }) },
      },
    },
    [PATHS.openapi]: { get: operation("openapi", "This document.", { type: "object" }) },
  };
}

function inference(operationId: string, request: string, response: string): Json {
  const streams = operationId !== "createEmbedding";
  const body = answer(streams ? STREAM_DESCRIPTION : "The answer.", ref(response), INFERENCE_HEADERS);
  if (streams) Object.assign(body.content, { "text/event-stream": { schema: { type: "string" } } });
  const errors: ErrorName[] = [
    "invalid_request",
    "authentication_error",
    "permission",
    "model_not_found",
    "request_too_large",
    "headers_too_large",
    "rate_limit_exceeded",
    "server_error",
    "model_overloaded",
    "timeout",
  ];
  return {
    operationId,
    summary: `Makes a ${response}.`,
    parameters: INFERENCE_PARAMETERS,
    requestBody: { required: true, content: { [JSON_TYPE]: { schema: ref(request) } } },
    responses: { 200: body, ...errorResponses(errors) },
  };
}

function feedback(): Json {
  return {
    operationId: "createFeedback",
    summary: "Rates an answer by the token that it carried; each token votes once.",
    parameters: [{ $ref: "#/components/parameters/requestId" }],
    requestBody: { required: true, content: { [JSON_TYPE]: { schema: ref("FeedbackRequest") } } },
    responses: {
      202: answer("The rating is taken.", ref("Feedback")),
      ...errorResponses([
        "invalid_request",
        "authentication_error",
        "not_found",
        "request_too_large",
        "headers_too_large",
        "unavailable",
      ]),
    },
  };
}

function listing(operationId: string, response: string, errors: readonly ErrorName[]): Json {
  return {
    operationId,
    summary: `Answers with a ${response}.`,
    parameters: COMMON_PARAMETERS,
    responses: {
      200: answer("The answer.", ref(response)),
      ...errorResponses(["authentication_error", ...errors]),
    },
  };
}

function operation(operationId: string, summary: string, schema: Json): Json {
  return { operationId, summary, security: [], responses: { 200: content(summary, JSON_TYPE, schema) } };
}

function content(description: string, type: string, schema: Json): { description: string; content: Json } {
  return { description, content: { [type]: { schema } } };
}

function answer(description: string, schema: Json, headers: readonly string[] = []) {
  const entries = [RELEASE_HEADER, ...headers].map((name) => [
    name,
    { $ref: `#/components/headers/${name}` },
  ]);
  return { ...content(description, JSON_TYPE, schema), headers: Object.fromEntries(entries) };
}

function errorResponses(names: readonly ErrorName[]): Json {
  return Object.fromEntries(
    names.map((name) => [CATALOGUE[name].status, answer(CATALOGUE[name].message, ref("Error"))]),
  );
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function componentSchemas(): Json {
  const requests = [
    schemas.chatRequest,
    schemas.completionRequest,
    schemas.embeddingsRequest,
    schemas.feedbackRequest,
  ];
  const responses = [
    schemas.chatResponse,
    schemas.completionResponse,
    schemas.embeddingsResponse,
    schemas.modelObject,
    schemas.modelList,
    schemas.feedbackResponse,
    schemas.errorBody,
    schemas.readiness,
  ];
  const uri = (id: string) => `#/components/schemas/${id}`;
  const registry = z.registry<{ id: string }>();
  for (const schema of [...requests, ...responses, ...batchSchemas, ...adminSchemas, schemas.usage]) {
    registry.add(schema, { id: z.globalRegistry.get(schema)?.id ?? "" });
  }
  const { schemas: byId } = z.toJSONSchema(registry, { io: "input", uri });
  return Object.fromEntries(
    Object.entries(byId).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]),
  );
}
