import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { NamedEvents } from "../../../services/gateway/providers/openai.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { EventFilter } from "../../../services/gateway/upstream/event-filter.ts";
import {
  beginEvents,
  endEvents,
  event,
  MESSAGE,
  STREAM,
  sendError,
  startEvent,
  textEvents,
} from "./anthropic.ts";
import {
  answerChat,
  beginStream,
  CHAT_ANSWER,
  chatBody,
  chunk,
  errorOf,
  type FakeReplica,
  metric,
  payloads,
  post,
  sendJson,
  sse,
  startReplica,
  startTestGateway,
  USAGE,
  until,
  usageChunk,
} from "./support.ts";

let openai: FakeReplica;
let anthropic: FakeReplica;
let gateway: RunningGateway;

beforeAll(async () => {
  [openai, anthropic] = await Promise.all([startReplica(), startReplica()]);
  gateway = await startTestGateway({
    replicas: ["http://127.0.0.1:1"],
    env: { GATEWAY_CREDENTIALS: JSON.stringify({ one: "sk-one", two: "sk-two" }) },
    settings: {
      providers: {
        first: { kind: "openai", baseUrl: `${openai.url}/base/v1`, credential: "one" },
        second: { kind: "anthropic", baseUrl: anthropic.url, credential: "two" },
      },
      models: {
        gpt: { provider: "first", upstream: "gpt-upstream", deadlineSeconds: 1 },
        claude: { provider: "second", upstream: "claude-upstream", deadlineSeconds: 1, maxTokens: 777 },
        vectors: { provider: "first", upstream: "embed-upstream", task: "embeddings" },
      },
      resilience: { retry: { tries: 2, baseSeconds: 0.01, maxSeconds: 0.02 }, breaker: { failures: 1_000 } },
    },
  });
});

beforeEach(() => {
  openai.behave = answerChat;
  anthropic.behave = (_, response) => sendJson(response, MESSAGE);
  openai.received.length = 0;
  anthropic.received.length = 0;
});

afterAll(async () => {
  await gateway.close();
  await Promise.all([openai.close(), anthropic.close()]);
});

const user = { role: "user", content: "Hi" };
const gpt = (extra: object = {}) => post(gateway.url, { body: chatBody({ model: "gpt", ...extra }) });
const claude = (extra: object = {}) => post(gateway.url, { body: chatBody({ model: "claude", ...extra }) });
const sent = () => JSON.parse(anthropic.received.at(-1)?.body ?? "{}") as Record<string, unknown>;
const tokens = (model: string, type: string) => metric(gateway.url, METRICS.tokens.name, { model, type });

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

describe("Anthropic's API, asked", () => {
  test("when a conversation with tools is sent, then all of it arrives in Anthropic's words", async () => {
    const call = {
      id: "t1",
      type: "function",
      function: { name: "weather", arguments: '{"city":"Taipei"}' },
    };
    const answer = await claude({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "developer", content: [{ type: "text", text: "Be kind." }] },
        {
          role: "user",
          content: [
            { type: "text", text: "Look" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
            { type: "image_url", image_url: { url: "https://images.test/a.png" } },
          ],
        },
        { role: "assistant", content: null, tool_calls: [call, { ...call, id: "t2" }] },
        { role: "tool", tool_call_id: "t1", content: "sunny" },
        { role: "tool", tool_call_id: "t2", content: "rain" },
        { role: "user", content: "And now?" },
      ],
      tools: [
        {
          type: "function",
          function: { name: "weather", description: "d", parameters: { properties: { city: {} } } },
        },
      ],
      tool_choice: "required",
      parallel_tool_calls: false,
      temperature: 0.5,
      top_p: 0.9,
      stop: "END",
      max_tokens: 50,
      user: "somebody@example.com",
      n: 1,
      presence_penalty: 0,
      seed: null,
    });
    expect(answer.status).toBe(200);
    expect(anthropic.received[0]?.path).toBe("/v1/messages");
    expect(anthropic.received[0]?.headers).toMatchObject({
      authorization: "Bearer sk-two",
      // The last one that has sampling.
      "anthropic-version": "2023-06-01",
    });
    const input = { city: "Taipei" };
    expect(sent()).toEqual({
      model: "claude-upstream",
      max_tokens: 50,
      system: "Be brief.\n\nBe kind.",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "Look" },
            { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } },
            { type: "image", source: { type: "url", url: "https://images.test/a.png" } },
          ],
        },
        {
          role: "assistant",
          content: [
            { type: "tool_use", id: "t1", name: "weather", input },
            { type: "tool_use", id: "t2", name: "weather", input },
          ],
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "t1", content: "sunny" },
            { type: "tool_result", tool_use_id: "t2", content: "rain" },
            { type: "text", text: "And now?" },
          ],
        },
      ],
      tools: [
        { name: "weather", description: "d", input_schema: { type: "object", properties: { city: {} } } },
      ],
      tool_choice: { type: "any", disable_parallel_tool_use: true },
      temperature: 0.5,
      top_p: 0.9,
      stop_sequences: ["END"],
    });
    expect(anthropic.received[0]?.body).not.toContain("somebody");
  });

  test("when no sampling is asked for, or its defaults, then the newest version of the API hears of none", async () => {
    await claude({ temperature: 1, top_p: 1 });
    expect(anthropic.received[0]?.headers["anthropic-version"]).toBe("2026-10-21");
    expect(sent()).not.toHaveProperty("temperature");
    expect(sent()).not.toHaveProperty("top_p");
  });

  test.each([
    [{}, { max_tokens: 777 }],
    [{ max_completion_tokens: 9, max_tokens: 5 }, { max_tokens: 9 }],
    [{ stop: ["a", "b"] }, { stop_sequences: ["a", "b"] }],
    [
      { response_format: { type: "json_schema", json_schema: { name: "n", schema: { type: "object" } } } },
      { output_config: { format: { type: "json_schema", schema: { type: "object" } } } },
    ],
    [
      {
        tools: [{ type: "function", function: { name: "f" } }],
        tool_choice: { type: "function", function: { name: "f" } },
      },
      { tools: [{ name: "f", input_schema: { type: "object" } }], tool_choice: { type: "tool", name: "f" } },
    ],
    [
      { tools: [{ type: "function", function: { name: "f" } }], tool_choice: "none" },
      { tool_choice: { type: "none" } },
    ],
  ])("%j becomes %j", async (extra, expected) => {
    expect((await claude(extra)).status).toBe(200);
    expect(sent()).toMatchObject(expected);
  });

  test.each([
    [{ seed: 7 }, "seed"],
    [{ n: 2 }, "n"],
    [{ logprobs: true }, "logprobs"],
    [{ presence_penalty: 0.1 }, "presence_penalty"],
    [{ logit_bias: { 5: 1 } }, "logit_bias"],
    [{ functions: [] }, "functions"],
    [{ guided_json: {} }, "guided_json"],
    [{ response_format: { type: "json_object" } }, "response_format.type"],
    [{ temperature: 1.5 }, "temperature"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ tools: [{ type: "web_search" }] }, "tools.0.type"],
    [{ messages: [user, { role: "function", content: "x" }] }, "messages.1.role"],
    [{ messages: [{ role: "user", content: [{ type: "input_audio" }] }] }, "messages.0.content.0.type"],
    [
      {
        messages: [
          { role: "user", content: [{ type: "image_url", image_url: { url: "http://10.0.0.1/" } }] },
        ],
      },
      "messages.0.content.0.image_url.url",
    ],
    [
      {
        messages: [
          {
            role: "assistant",
            tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "[" } }],
          },
        ],
      },
      "messages.0.tool_calls.0.function.arguments",
    ],
  ])("%j is refused by its name, and nothing is sent", async (extra, param) => {
    const error = await errorOf(await claude(extra));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param });
    expect(error.message).toContain(`'${param}'`);
    expect(anthropic.received).toHaveLength(0);
  });

  test("when it is no chat, then it is refused", async () => {
    const answer = await post(gateway.url, {
      path: "/v1/completions",
      body: JSON.stringify({ model: "claude", prompt: "x" }),
    });
    expect(await errorOf(answer)).toMatchObject({ status: 400, param: "model" });
  });
});

describe("Anthropic's API, answering", () => {
  test("with a text, then it is a chat completion, and all tokens of the prompt are counted", async () => {
    const before = await tokens("claude", "prompt");
    expect(await (await claude()).json()).toEqual({
      id: "chatcmpl-msg_01",
      object: "chat.completion",
      created: expect.any(Number),
      model: "claude",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello there." },
          finish_reason: "stop",
          logprobs: null,
        },
      ],
      usage: {
        prompt_tokens: 20,
        completion_tokens: 4,
        total_tokens: 24,
        prompt_tokens_details: { cached_tokens: 7 },
      },
    });
    await until(async () => (await tokens("claude", "prompt")) === before + 20);
  });

  test("with tool calls and thoughts, then the calls are passed on and the thoughts are not", async () => {
    const content = [
      { type: "thinking", thinking: "hmm", signature: "s" },
      { type: "tool_use", id: "toolu_1", name: "f", input: { a: 1 } },
    ];
    anthropic.behave = (_, response) => sendJson(response, { ...MESSAGE, content, stop_reason: "tool_use" });
    const answer = await (await claude()).json();
    expect(answer).toMatchObject({
      choices: [
        {
          message: {
            content: null,
            tool_calls: [{ id: "toolu_1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
          },
          finish_reason: "tool_calls",
        },
      ],
    });
    expect(JSON.stringify(answer)).not.toContain("hmm");
  });

  test.each([
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["refusal", "content_filter"],
    ["something_new", "stop"],
  ])("that it ended by %s is told as %s", async (stop_reason, finish_reason) => {
    anthropic.behave = (_, response) => sendJson(response, { ...MESSAGE, stop_reason });
    expect(await (await claude()).json()).toMatchObject({ choices: [{ finish_reason }] });
  });

  test("with a stream, then it is one of OpenAI's chunks, with tool calls in parts and usage at the end", async () => {
    anthropic.behave = (_, response) => {
      beginEvents(response);
      response.end(STREAM);
    };
    const text = await (await claude({ stream: true, stream_options: { include_usage: true } })).text();
    const events = payloads(text) as {
      choices: { delta: object; finish_reason: unknown }[];
      usage?: object;
    }[];
    expect(events.slice(0, -2).map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: "assistant", content: "" },
      { content: "Let me " },
      { content: "look – 看." },
      {
        tool_calls: [
          { index: 0, id: "toolu_1", type: "function", function: { name: "weather", arguments: "" } },
        ],
      },
      { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: ' "Taipei"}' } }] },
      {
        tool_calls: [
          { index: 1, id: "toolu_2", type: "function", function: { name: "time", arguments: "" } },
        ],
      },
      { tool_calls: [{ index: 1, function: { arguments: "{}" } }] },
      {},
    ]);
    expect(events.at(-3)?.choices[0]?.finish_reason).toBe("tool_calls");
    expect(events.at(-2)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: 20,
        completion_tokens: 42,
        total_tokens: 62,
        prompt_tokens_details: { cached_tokens: 7 },
      },
    });
    expect(events.at(-1)).toBe("[DONE]");
    expect(sent()).toMatchObject({ stream: true });
  });

  test("with a stream whose client did not ask for usage, then it sees none, but it is counted", async () => {
    anthropic.behave = (_, response) => {
      beginEvents(response);
      response.end(startEvent() + textEvents("Hi") + endEvents("end_turn", 6));
    };
    const before = await tokens("claude", "completion");
    const text = await (await claude({ stream: true })).text();
    expect(text).not.toContain("usage");
    await until(async () => (await tokens("claude", "completion")) === before + 6);
  });
});

describe("Anthropic's API, failing", () => {
  test.each([
    [400, "invalid_request_error", {}, 400, "invalid_request", 1],
    [401, "authentication_error", {}, 500, "server_error", 1],
    [402, "billing_error", {}, 500, "server_error", 1],
    [403, "permission_error", {}, 500, "server_error", 1],
    [404, "not_found_error", {}, 404, "model_not_found", 1],
    [413, "request_too_large", {}, 413, "request_too_large", 1],
    [429, "rate_limit_error", {}, 503, "model_overloaded", 2],
    [
      429,
      "rate_limit_error",
      { details: { error_code: "enforced_spend_limit_reached" } },
      503,
      "model_overloaded",
      1,
    ],
    [500, "api_error", {}, 500, "server_error", 2],
    [504, "timeout_error", {}, 504, "timeout", 2],
    [529, "overloaded_error", {}, 503, "model_overloaded", 2],
  ])("%i %s %j becomes %i %s after %i tries", async (status, type, more, expected, code, tries) => {
    for (const stream of [false, true]) {
      anthropic.received.length = 0;
      anthropic.behave = (_, response) => sendError(response, status, type, more);
      const error = await errorOf(await claude({ stream }));
      expect(error).toMatchObject({ status: expected, code });
      if (status !== 400) expect(error.message).not.toContain("their words");
      expect(anthropic.received).toHaveLength(tries);
    }
  });

  test("when it says when to come back, then the client is told", async () => {
    anthropic.behave = (_, response) => {
      response.setHeader("retry-after", "17");
      sendError(response, 529, "overloaded_error");
    };
    expect((await claude()).headers.get("retry-after")).toBe("17");
  });

  test("when a stream has an error before anything was said, then it is tried again", async () => {
    let count = 0;
    anthropic.behave = (_, response) => {
      beginEvents(response);
      count += 1;
      const failed = event("error", { error: { type: "overloaded_error", message: "their words" } });
      response.end(startEvent() + (count === 1 ? failed : textEvents("Hi") + endEvents("end_turn", 1)));
    };
    const text = await (await claude({ stream: true })).text();
    expect(text).toContain('"content":"Hi"');
    expect(anthropic.received).toHaveLength(2);
  });

  test.each([
    [
      "has an error",
      "model_overloaded",
      (response: Parameters<FakeReplica["behave"]>[1]) =>
        void response.end(event("error", { error: { type: "overloaded_error", message: "their words" } })),
    ],
    [
      "is cut",
      "server_error",
      (response: Parameters<FakeReplica["behave"]>[1]) => void response.socket?.resetAndDestroy(),
    ],
    ["ends early", "server_error", (response: Parameters<FakeReplica["behave"]>[1]) => void response.end()],
  ])(
    "when a stream %s after something was said, then it ends in an error event, and is not tried again",
    async (_, code, finish) => {
      anthropic.behave = (_request, response) => {
        beginEvents(response);
        response.write(startEvent() + textEvents("Hi"), () => finish(response));
      };
      const text = await (await claude({ stream: true })).text();
      expect(text).toContain('"content":"Hi"');
      expect(text).not.toContain("their words");
      expect(payloads(text).at(-1)).toMatchObject({ error: { code } });
      expect(anthropic.received).toHaveLength(1);
    },
  );

  test.each([
    ["answers nothing", () => undefined],
    ["stops after its head", (response: Parameters<FakeReplica["behave"]>[1]) => beginEvents(response)],
    [
      "only pings",
      (response: Parameters<FakeReplica["behave"]>[1]) => {
        beginEvents(response);
        const timer = setInterval(() => response.write(startEvent() + event("ping")), 20);
        response.on("close", () => clearInterval(timer));
      },
    ],
  ])("when it %s, then the request ends at its deadline, and its work", async (_, behave) => {
    anthropic.behave = (_request, response) => behave(response);
    for (const stream of [true, false]) {
      const before = performance.now();
      expect((await claude({ stream })).status).toBeGreaterThanOrEqual(500);
      expect(performance.now() - before).toBeLessThan(3_000);
      for (const { aborted } of anthropic.received) await aborted;
    }
    expect(await metric(gateway.url, METRICS.activeRequests.name, { model: "claude" })).toBe(0);
  });

  test("when it resets the connection, then it is tried again", async () => {
    let count = 0;
    anthropic.behave = (_, response) => {
      count += 1;
      if (count === 1) response.socket?.resetAndDestroy();
      else sendJson(response, MESSAGE);
    };
    expect((await claude()).status).toBe(200);
    expect(anthropic.received).toHaveLength(2);
  });

  test.each([false, true])(
    "when the client leaves (streamed: %s), then its work ends within a second",
    async (stream) => {
      anthropic.behave = (_, response) => {
        if (!stream) return;
        beginEvents(response);
        response.write(startEvent() + textEvents("Hi"));
      };
      const leaving = new AbortController();
      const answer = post(gateway.url, {
        body: chatBody({ model: "claude", stream }),
        signal: leaving.signal,
      });
      await until(() => anthropic.received.length === 1);
      if (stream) await (await answer).body?.getReader().read();
      const left = performance.now();
      leaving.abort();
      await answer.catch(() => "left");
      expect(await anthropic.received[0]?.aborted).toBe(true);
      expect(performance.now() - left).toBeLessThan(1_000);
    },
  );
});
