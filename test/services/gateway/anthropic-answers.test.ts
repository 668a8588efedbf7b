import { describe, expect, test } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
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
import { anthropic, claude, gateway, sent, tokens } from "./providers-support.ts";
import { chatBody, errorOf, type FakeReplica, metric, payloads, post, sendJson, until } from "./support.ts";

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
