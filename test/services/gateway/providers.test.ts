import { describe, expect, test } from "vitest";
import { NamedEvents } from "../../../services/gateway/providers/openai.ts";
import { EventFilter } from "../../../services/gateway/upstream/event-filter.ts";
import { beginEvents, STREAM } from "./anthropic.ts";
import { anthropic, claude, gateway, gpt, openai, tokens } from "./providers-support.ts";
import {
  beginStream,
  CHAT_ANSWER,
  chunk,
  errorOf,
  payloads,
  post,
  sendJson,
  sse,
  USAGE,
  until,
  usageChunk,
} from "./support.ts";

describe("a provider that speaks OpenAI's API", () => {
  test("when it streams, then every chunk has our name of the model, and usage is counted", async () => {
    openai.behave = (_, response) => {
      beginStream(response);
      const theirs = { model: "gpt-upstream" };
      response.write(sse({ ...chunk('say "model":"gpt-upstream"'), ...theirs }));
      response.write(`: comment\r\n\r\n${sse({ ...chunk(".", "stop"), ...theirs })}`);
      response.end(sse({ ...usageChunk(), ...theirs }) + sse("[DONE]"));
    };
    const before = await tokens("gpt", "completion");
    const events = payloads(await (await gpt({ stream: true })).text());
    expect(events.at(-1)).toBe("[DONE]");
    for (const chunk of events.slice(0, -1)) expect(chunk).toMatchObject({ model: "gpt" });
    expect(JSON.stringify(events[0])).toContain('say \\"model\\":\\"gpt-upstream\\"');
    const asked = JSON.parse(openai.received[0]?.body ?? "{}");
    expect(asked).toMatchObject({ model: "gpt-upstream", stream_options: { include_usage: true } });
    expect(asked.stream_options).not.toHaveProperty("continuous_usage_stats");
    await until(async () => (await tokens("gpt", "completion")) === before + USAGE.completion_tokens);
  });

  test("when it answers, then its path, its key and its model's name are its own", async () => {
    openai.behave = (_, response) => sendJson(response, { ...CHAT_ANSWER, model: "gpt-upstream" });
    expect(await (await gpt()).json()).toEqual({ ...CHAT_ANSWER, model: "gpt" });
    expect(openai.received[0]?.path).toBe("/base/v1/chat/completions");
    expect(openai.received[0]?.headers.authorization).toBe("Bearer sk-one");
  });

  test("when embeddings are asked for, then it embeds", async () => {
    openai.behave = (_, response) =>
      sendJson(response, { object: "list", data: [], model: "x", usage: USAGE });
    const body = JSON.stringify({ model: "vectors", input: "a" });
    const answer = await post(gateway.url, { path: "/v1/embeddings", body });
    expect(await answer.json()).toMatchObject({ model: "vectors" });
    expect(JSON.parse(openai.received[0]?.body ?? "")).toEqual({ model: "embed-upstream", input: "a" });
  });

  test("when it explains what is wrong with a request, then the client is told; nothing else is", async () => {
    const told = { message: "max_tokens is too large", type: "invalid_request_error", param: "max_tokens" };
    openai.behave = (_, response) => sendJson(response, { error: told }, 400);
    expect(await errorOf(await gpt())).toMatchObject({
      status: 400,
      message: told.message,
      param: told.param,
    });
    openai.behave = (_, response) =>
      sendJson(response, { error: { ...told, type: "auth", message: "key sk-one" } }, 401);
    expect(JSON.stringify(await errorOf(await gpt()))).not.toContain("sk-one");
  });
});

describe("a stream, however the network cuts it", () => {
  const WISH = { final: true, continuous: false, choicesPerPrompt: undefined };
  const stream = Buffer.from(
    `: hi\n\n${sse({ ...chunk("é看"), model: "theirs" })}${sse({ ...usageChunk(), model: "theirs" })}${sse("[DONE]")}`,
  );

  function passed(...parts: Buffer[]): string {
    const filter = new EventFilter(WISH);
    const out: Buffer[] = [];
    const events = new NamedEvents(
      {
        head: () => undefined,
        data: (bytes) => out.push(filter.push(Buffer.from(bytes))),
        end: () => out.push(filter.flush()),
        fail: () => undefined,
      },
      "ours",
    );
    events.head(200, { "content-type": "text/event-stream" });
    for (const part of parts) events.data(part);
    events.end();
    return Buffer.concat(out).toString();
  }

  test("at any one place, in its bytes or in pairs of them, then the client's bytes are the same", () => {
    const whole = passed(stream);
    expect(payloads(whole)).toEqual([
      { ...chunk("é看"), model: "ours" },
      { ...usageChunk(), model: "ours" },
      "[DONE]",
    ]);
    for (let cut = 0; cut <= stream.length; cut += 1)
      expect(passed(stream.subarray(0, cut), stream.subarray(cut))).toBe(whole);
    for (const size of [1, 2, 3, 7]) {
      const parts = Array.from({ length: Math.ceil(stream.length / size) }, (_, index) =>
        stream.subarray(index * size, (index + 1) * size),
      );
      expect(passed(...parts)).toBe(whole);
    }
  });

  test("of Anthropic's, at any of its places on a real connection, then the client's bytes are the same", async () => {
    const bytes = Buffer.from(STREAM);
    const answerAt = async (cut: number) => {
      anthropic.behave = (_, response) => {
        beginEvents(response);
        response.write(bytes.subarray(0, cut), () => setImmediate(() => response.end(bytes.subarray(cut))));
      };
      const text = await (await claude({ stream: true, stream_options: { include_usage: true } })).text();
      return text.replace(/"created":\d+/g, "");
    };
    const whole = await answerAt(0);
    expect(payloads(whole.replaceAll(",,", ",")).at(-1)).toBe("[DONE]");
    const cuts = Array.from({ length: 60 }, (_, index) => Math.floor(((index + 1) * bytes.length) / 61));
    for (const cut of cuts) expect(await answerAt(cut)).toBe(whole);
  });
});
