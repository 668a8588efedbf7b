import { ApiError } from "../api/errors.ts";
import type { InferenceRequest } from "../exchange.ts";
import { memberSpan } from "./json-member.ts";

/** What the client of a stream wants to know of its usage. */
export interface UsageWish {
  /** The usage of the whole answer in a last chunk. */
  readonly final: boolean;
  /** The usage so far in every chunk. */
  readonly continuous: boolean;
  /** Undefined for one choice of one prompt, as nearly every stream has it. */
  readonly choicesPerPrompt: number | undefined;
}

/** What the client asked for; usage in every chunk is for those only who want the last one too, as at the engine. */
export function wantsUsage(request: InferenceRequest): UsageWish {
  const options = request.stream_options;
  const final = options?.include_usage === true;
  const continuous = final && options?.continuous_usage_stats === true;
  return { final, continuous, choicesPerPrompt: choicesPerPrompt(request) };
}

function choicesPerPrompt(request: InferenceRequest & { n?: unknown; prompt?: unknown }): number | undefined {
  const n = typeof request.n === "number" ? request.n : 1;
  // A list of numbers is one prompt in tokens.
  const several =
    Array.isArray(request.prompt) && request.prompt.length > 1 && typeof request.prompt[0] !== "number";
  if (request.prompt === undefined) return n > 1 ? Number.POSITIVE_INFINITY : undefined;
  return n > 1 || several ? n : undefined;
}

/** What a backend can be asked for. */
export interface UsageAbility {
  /** Whether it can tell the usage so far in every chunk, which some refuse to be asked for. */
  readonly continuousUsage: boolean;
}

/**
 * The body for the backend: as the client sent it, byte for byte, except that a stream is always asked for its usage,
 * in every chunk where the backend can.
 */
export function toUpstreamBody(
  body: Buffer,
  request: InferenceRequest,
  { continuousUsage }: UsageAbility,
): Buffer {
  if (request.stream !== true) return body;
  const { continuous_usage_stats: _, ...options } = request.stream_options ?? {};
  const asked = {
    ...options,
    include_usage: true,
    ...(continuousUsage ? { continuous_usage_stats: true } : {}),
  };
  const span = request.stream_options === undefined ? undefined : memberSpan(body, "stream_options");
  if (span) {
    return Buffer.concat([
      body.subarray(0, span.start),
      Buffer.from(written(asked)),
      body.subarray(span.end),
    ]);
  }
  const brace = body.indexOf("{") + 1;
  return Buffer.concat([
    body.subarray(0, brace),
    Buffer.from(`"stream_options":${written(asked)},`),
    body.subarray(brace),
  ]);
}

// What can be read can be nested too deeply to be written.
function written(options: object): string {
  try {
    return JSON.stringify(options);
  } catch {
    const message = "'stream_options' is nested too deeply.";
    throw new ApiError("invalid_request", { message, param: "stream_options" });
  }
}
