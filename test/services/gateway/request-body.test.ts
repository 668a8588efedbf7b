import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toUpstreamBody, wantsUsage } from "../../../services/gateway/upstream/request-body.ts";

type Json = Record<string, unknown> & { model: string };

function upstream(text: string, continuousUsage = true): string {
  return toUpstreamBody(Buffer.from(text), JSON.parse(text) as Json, { continuousUsage }).toString();
}

describe("the body of a stream", () => {
  test("is the client's, byte for byte, but for what it says of usage", () => {
    const text =
      '{ "seed" : 12345678901234567890, "stream_options" : {"include_usage": false} , "stream":true }';
    expect(upstream(text)).toBe(
      text.replace('{"include_usage": false}', '{"include_usage":true,"continuous_usage_stats":true}'),
    );
  });

  test("does not ask a backend for usage in every chunk that cannot tell it", () => {
    expect(upstream('{"stream":true,"stream_options":{"continuous_usage_stats":true}}', false)).toBe(
      '{"stream":true,"stream_options":{"include_usage":true}}',
    );
  });

  test("of no stream is left alone", () => {
    expect(upstream('{"model":"m"}')).toBe('{"model":"m"}');
  });

  test("asks for usage whatever else it holds, also under the same name", () => {
    const options = fc.option(fc.dictionary(fc.string(), fc.jsonValue()));
    const others = fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom("stream_options", 'a"b', "\\")),
      fc.oneof(fc.jsonValue(), fc.constant({ stream_options: { include_usage: false } })),
    );
    fc.assert(
      fc.property(others, options, others, fc.constantFrom(undefined, 1), (before, given, after, indent) => {
        const body = { ...before, stream_options: given, ...after, stream: true, model: "m" };
        const parsed = JSON.parse(JSON.stringify(body)) as Json;
        if (typeof parsed.stream_options !== "object" || Array.isArray(parsed.stream_options)) return;
        const sent: unknown = JSON.parse(upstream(JSON.stringify(body, null, indent)));
        const asked = { include_usage: true, continuous_usage_stats: true };
        expect(sent).toEqual({ ...parsed, stream_options: { ...parsed.stream_options, ...asked } });
      }),
      { numRuns: 500 },
    );
  });
});

describe("what a client wants to know", () => {
  test.each([
    [{ stream_options: { continuous_usage_stats: true } }, { final: false, continuous: false }],
    [{ stream_options: { include_usage: true } }, { final: true, continuous: false }],
    [{ n: 2 }, { choicesPerPrompt: Number.POSITIVE_INFINITY }],
    [{ n: 1, messages: [] }, { choicesPerPrompt: undefined }],
    [{ prompt: "a", n: 3 }, { choicesPerPrompt: 3 }],
    [{ prompt: ["a", "b"] }, { choicesPerPrompt: 1 }],
    [{ prompt: [1, 2, 3] }, { choicesPerPrompt: undefined }],
    [{ prompt: [[1], [2]], n: 2 }, { choicesPerPrompt: 2 }],
  ])("%j: %j", (request, wish) => {
    expect(wantsUsage({ model: "m", stream: true, ...request })).toMatchObject(wish);
  });
});
