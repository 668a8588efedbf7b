import { describe, expect, test } from "vitest";
import { anthropic, claude, gateway, sent, user } from "./providers-support.ts";
import { errorOf, post } from "./support.ts";

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
