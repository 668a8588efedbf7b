import type { InferenceRequest } from "../exchange.ts";

const ASK_FOR_USAGE = Buffer.from('"stream_options":{"include_usage":true},');

/** Whether the client asked for the usage chunk of its stream. */
export function wantsUsage(request: InferenceRequest): boolean {
  return request.stream_options?.include_usage === true;
}

/**
 * The body for the replica: as the client sent it, byte for byte, except that a stream is always asked for its usage.
 * Only a client that sends stream_options without asking for usage gets its body written anew; usage in every chunk
 * needs include_usage at the engine, so it goes there as well.
 */
export function toUpstreamBody(body: Buffer, request: InferenceRequest): Buffer {
  if (request.stream !== true || wantsUsage(request)) return body;
  if (request.stream_options === undefined) {
    const brace = body.indexOf("{") + 1;
    return Buffer.concat([body.subarray(0, brace), ASK_FOR_USAGE, body.subarray(brace)]);
  }
  const { continuous_usage_stats: _, ...options } = request.stream_options ?? {};
  return Buffer.from(JSON.stringify({ ...request, stream_options: { ...options, include_usage: true } }));
}
