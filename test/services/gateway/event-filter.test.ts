import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventFilter } from "../../../services/gateway/upstream/event-filter.ts";
import { chunk, payloads, sse, USAGE, usageChunk } from "./support.ts";

function recorded(name: string): string {
  const file = new URL(`../../fixtures/recordings/vllm-0.32.0/${name}.json`, import.meta.url);
  const { response } = JSON.parse(readFileSync(file, "utf8")) as { response: { body: string } };
  return response.body;
}

function filtered(stream: string, { showUsage = false, cuts = [] as number[] } = {}) {
  const filter = new EventFilter(showUsage);
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
    const filter = new EventFilter(false);
    expect(filter.push(Buffer.from(sse(chunk("a")))).toString()).toBe(sse(chunk("a")));
  });

  test("gets the finish reason of a stream that breaks off after it", () => {
    const { filter, text } = filtered(sse(chunk("a", "stop")));
    expect(text).toBe(sse(chunk("a", "stop")));
    expect(filter.done).toBe(false);
  });
});

describe("any stream", () => {
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

  test("ends at [DONE]", () => {
    const late = sse(chunk("late"));
    expect(filtered(sse("[DONE]") + late).text).toBe(sse("[DONE]"));
    const filter = new EventFilter(false);
    filter.push(Buffer.from(sse("[DONE]")));
    expect(filter.push(Buffer.from(late)).length).toBe(0);
  });

  test("that never ends an event is reported as overflown", () => {
    const filter = new EventFilter(false);
    expect(filter.push(Buffer.alloc(17 * 1024 * 1024, "x")).length).toBe(0);
    expect(filter.overflown).toBe(true);
  });
});
