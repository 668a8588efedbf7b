import { PATHS } from "../contract.ts";

// Names of OpenTelemetry's semantic conventions 1.45. Those for generative AI are not stable yet, and the package asks
// not to import what is not; a test holds them against it.
export const ATTRIBUTES = {
  operation: "gen_ai.operation.name",
  provider: "gen_ai.provider.name",
  requestModel: "gen_ai.request.model",
  responseModel: "gen_ai.response.model",
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens",
  inputMessages: "gen_ai.input.messages",
  outputMessages: "gen_ai.output.messages",
  errorType: "error.type",
  method: "http.request.method",
  route: "http.route",
  status: "http.response.status_code",
  userId: "user.id",
} as const;

/** Attributes that no convention names. */
export const OWN_ATTRIBUTES = {
  requestId: "gateway.request.id",
  tenant: "gateway.tenant",
  project: "gateway.project",
  keyId: "gateway.key.id",
  backend: "gateway.backend",
  cachedTokens: "gateway.usage.cached_tokens",
  waitedMs: "gateway.queue.wait_ms",
} as const;

/** The event of a stream's first chunk. */
export const FIRST_TOKEN = "first_token";

/** What the conventions call the work of an endpoint; undefined where it is not about a model. */
export function operationOf(endpoint: string): "chat" | "text_completion" | "embeddings" | undefined {
  if (endpoint === PATHS.chatCompletions) return "chat";
  if (endpoint === PATHS.completions) return "text_completion";
  return endpoint === PATHS.embeddings ? "embeddings" : undefined;
}
