import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventFilter } from "../../../services/gateway/upstream/event-filter.ts";
import type { UsageWish } from "../../../services/gateway/upstream/request-body.ts";
import { chunk, payloads, sse, USAGE, usageChunk } from "./support.ts";

const NO_USAGE: UsageWish = { final: false, continuous: false, choicesPerPrompt: undefined };

interface Shown {
  readonly showUsage?: boolean;
  readonly final?: boolean;
}

// What the engine's answer shows of the request that it was recorded with.
function wish(stream: string, { showUsage = false, final = showUsage }: Shown): UsageWish {
  const several = stream.includes('"choices":[{"index":1');
  return {
    final,
    continuous: showUsage,
    choicesPerPrompt: several ? Number.POSITIVE_INFINITY : undefined,
  };
}

function recorded(name: string): string {
  const file = new URL(`../../fixtures/recordings/vllm-0.32.0/${name}.json`, import.meta.url);
  const { response } = JSON.parse(readFileSync(file, "utf8")) as { response: { body: string } };
  return response.body;
}

function filtered(stream: string, { cuts = [], ...shown }: Shown & { readonly cuts?: number[] } = {}) {
  const filter = new EventFilter(wish(stream, shown));
  const bytes = Buffer.from(stream);
  const bounds = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
  const parts = bounds.slice(1).map((end, index) => filter.push(bytes.subarray(bounds[index], end)));
  return { filter, text: Buffer.concat([...parts, filter.flush()]).toString() };
}

const USAGE_STREAMS = [
  "chat-stream-usage",
  "chat-stream-n2",
  "completions-stream-usage",
  "chat-stream-continuous-usage",
];

describe("a client that asked for usage", () => {
  test.each([...USAGE_STREAMS, "chat-stream", "tools-named-stream"])(
    "gets %s as the engine sent it",
    (name) => {
      const { filter, text } = filtered(recorded(name), { showUsage: true });
      expect(text).toBe(recorded(name));
      expect(filter.done).toBe(true);
    },
  );
});

describe("a client that did not ask for usage", () => {
  test.each(["chat-stream-usage", "completions-stream-usage"])(
    "gets %s as vLLM answers without usage: no usage chunk, the fingerprint at the finish reason",
    (name) => {
      const { filter, text } = filtered(recorded(name));
      const all = payloads(recorded(name));
      const usage = all.at(-2) as { usage: object; system_fingerprint: string };
      const last = { ...(all.at(-3) as object), system_fingerprint: usage.system_fingerprint };
      expect(payloads(text)).toEqual([...all.slice(0, -3), last, "[DONE]"]);
      expect(filter.usage).toMatchObject(usage.usage);
    },
  );

  test("gets the same fields in the same order as vLLM's own stream without usage", () => {
    const keys = (stream: string) => {
      const chunks = payloads(stream).slice(0, -1) as object[];
      return new Set(chunks.map((entry) => Object.keys(entry).join()));
    };
    expect(keys(filtered(recorded("chat-stream-usage")).text)).toEqual(keys(recorded("chat-stream")));
  });

  test("gets every event before the finish reason at once", () => {
    const filter = new EventFilter(NO_USAGE);
    expect(filter.push(Buffer.from(sse(chunk("a")))).toString()).toBe(sse(chunk("a")));
  });

  test("gets the finish reason of a stream that breaks off after it", () => {
    const { filter, text } = filtered(sse(chunk("a", "stop")));
    expect(text).toBe(sse(chunk("a", "stop")));
    expect(filter.done).toBe(false);
  });
});

describe("usage in every chunk, which only the gateway asked for", () => {
  const CONTINUOUS = "chat-stream-continuous-usage";
  const objects = (stream: string) => payloads(stream).slice(0, -1) as { usage?: object }[];

  test("is taken out of the chunks of a client that asked for the last chunk alone", () => {
    const { text } = filtered(recorded(CONTINUOUS), { final: true });
    const all = objects(recorded(CONTINUOUS));
    expect(objects(text)).toEqual([...all.slice(0, -1).map(({ usage: _, ...rest }) => rest), all.at(-1)]);
  });

  test("leaves a client that asked for nothing the very bytes of a stream without usage", () => {
    const { text } = filtered(recorded(CONTINUOUS));
    const [usage, ...rest] = objects(recorded(CONTINUOUS)).reverse() as Record<string, unknown>[];
    const bare = rest.reverse().map(({ usage: _, ...chunk }) => chunk);
    const last = { ...bare.pop(), system_fingerprint: usage?.system_fingerprint };
    expect(text).toBe([...bare, last, "[DONE]"].map(sse).join(""));
  });

  test("tells what had passed, wherever the stream is cut", () => {
    const events = recorded(CONTINUOUS).split(/(?<=\n\n)/);
    events.slice(0, 5).forEach((_, index) => {
      const { filter } = filtered(events.slice(0, index + 1).join(""));
      expect(filter.usage).toMatchObject({ prompt_tokens: 24, completion_tokens: index });
    });
  });

  test("is summed over choices, and each prompt counts once", () => {
    const part = (index: number, completion: number) =>
      sse({
        ...chunk("x"),
        choices: [{ index, text: "x", finish_reason: null }],
        usage: { prompt_tokens: 10 + Math.floor(index / 2), completion_tokens: completion, total_tokens: 0 },
      });
    const filter = new EventFilter({ ...NO_USAGE, choicesPerPrompt: 2 });
    const stream = part(0, 1) + part(1, 1) + part(0, 2) + part(2, 1);
    const passed = filter.push(Buffer.from(stream)).toString();
    expect(filter.usage).toMatchObject({ prompt_tokens: 21, completion_tokens: 4, total_tokens: 25 });
    expect(passed).not.toContain("usage");
  });

  test("is found and taken out whatever the text, the numbers and further fields are", () => {
    const text = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(',"usage":{"a":1}', '"}', "\\", "{", '"error"', "\n\n"),
    );
    const details = fc.option(fc.record({ cached_tokens: fc.nat(), note: text }));
    const tail = fc.option(text, { nil: undefined });
    fc.assert(
      fc.property(fc.array(fc.tuple(text, details, tail), { minLength: 1 }), (parts) => {
        const bare = parts.map(([content, , prompt_text]) => ({ ...chunk(content), prompt_text }));
        const counted = bare.map(({ prompt_text, ...rest }, index) => {
          const usage = { prompt_tokens: 7, completion_tokens: index, total_tokens: 7 + index };
          return { ...rest, usage: { ...usage, prompt_tokens_details: parts[index]?.[1] }, prompt_text };
        });
        const filter = new EventFilter(NO_USAGE);
        expect(filter.push(Buffer.from(counted.map(sse).join(""))).toString()).toBe(bare.map(sse).join(""));
        expect(filter.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: parts.length - 1 });
        expect(filter.parts).toBe(parts.length);
      }),
    );
  });
});

describe("any stream", () => {
  test("may hold empty lines of whatever number", () => {
    const { filter, text } = filtered(`${sse(chunk("a"))}\n\n\n${sse("[DONE]")}\n`);
    expect(payloads(text.replace(/\n+/g, "\n\n"))).toEqual([chunk("a"), "[DONE]"]);
    expect(filter.done).toBe(true);
  });

  test("is the same however the network cuts it", () => {
    const name = fc.constantFrom(...USAGE_STREAMS, "chat-stream", "tools-named-stream");
    fc.assert(
      fc.property(name, fc.boolean(), fc.array(fc.nat(), { maxLength: 8 }), (recording, showUsage, cuts) => {
        const stream = recorded(recording);
        const cut = filtered(stream, { showUsage, cuts });
        const whole = filtered(stream, { showUsage });
        expect(cut.text).toBe(whole.text);
        expect(cut.filter.usage).toEqual(whole.filter.usage);
        expect(cut.filter.done).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("may use CRLF and comments", () => {
    const stream = `: ping\n\n${sse(chunk("a"))}${sse(usageChunk())}${sse("[DONE]")}`;
    const { filter, text } = filtered(stream.replaceAll("\n", "\r\n"), {
      showUsage: true,
      cuts: [9, 10, 11],
    });
    expect(text).toBe(stream);
    expect(filter.usage).toMatchObject(USAGE);
  });

  test("may quote the protocol in its text without being taken for it", () => {
    const words = [
      "[DONE]",
      "data: [DONE]\n\n",
      '"usage":{"prompt_tokens":1}',
      '"error":{"code":1}',
      '"finish_reason":"x"',
    ];
    const stream = words.map((word) => sse(chunk(word))).join("") + sse("[DONE]");
    const { filter, text } = filtered(stream);
    expect(text).toBe(stream);
    expect(filter).toMatchObject({ done: true, error: undefined, usage: undefined });
  });

  test("ends at an error: it is kept from the client, with all that follows", () => {
    const error = { error: { message: "trace at 10.0.0.7", type: "InternalServerError", code: 503 } };
    const { filter, text } = filtered(sse(chunk("a")) + sse(error) + sse("[DONE]"));
    expect(text).toBe(sse(chunk("a")));
    expect(filter).toMatchObject({ done: false, error: { status: 503 } });
  });

  test("ends at an error that stands beside a choice", () => {
    const both = { ...chunk("b"), error: { message: "trace at 10.0.0.7", code: 500 } };
    const { filter, text } = filtered(sse(chunk("a")) + sse(both) + sse(chunk("c")));
    expect(text).toBe(sse(chunk("a")));
    expect(filter.error).toEqual({ status: 500 });
  });

  test("ends at [DONE]", () => {
    const late = sse(chunk("late"));
    expect(filtered(sse("[DONE]") + late).text).toBe(sse("[DONE]"));
    const filter = new EventFilter(NO_USAGE);
    filter.push(Buffer.from(sse("[DONE]")));
    expect(filter.push(Buffer.from(late)).length).toBe(0);
  });

  test("that never ends an event is reported as overflown", () => {
    const filter = new EventFilter(NO_USAGE);
    expect(filter.push(Buffer.alloc(17 * 1024 * 1024, "x")).length).toBe(0);
    expect(filter.overflown).toBe(true);
  });
});
