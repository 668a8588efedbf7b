import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
} from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  answerChat,
  EMBEDDER,
  KEY,
  MODEL,
  sendJson,
  startReplica,
  startTestGateway,
  until,
} from "../support.ts";
import { type Platform, running, startPlatform } from "./models.ts";

let platform: Platform;
let client: OpenAI;

function clientOf(url: string, options: { apiKey?: string; maxRetries?: number } = {}): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0, ...options });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

const messages = [{ role: "user" as const, content: "Tell me about the sea." }];
// ignore_eos is vLLM's, beside OpenAI's parameters: nothing but the limit ends the answer.
const endless = { model: MODEL, messages, max_tokens: 5000, ignore_eos: true };
// Without `strict` vLLM lets a model give a tool anything that is JSON.
const tool = {
  type: "function" as const,
  function: {
    name: "get_weather",
    strict: true,
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const schema = {
  type: "object",
  properties: { city: { type: "string" }, population: { type: "integer" } },
  required: ["city", "population"],
  additionalProperties: false,
};

beforeAll(async () => {
  platform = await startPlatform();
  client = clientOf(platform.gateway.url);
});

afterAll(async () => {
  await platform?.close();
});

describe("the OpenAI SDK for Node.js", () => {
  test("chats, and knows its request by its id", async () => {
    const completion = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 12 });
    expect(completion.choices[0]?.message.content?.length).toBeGreaterThan(0);
    expect(completion.usage?.total_tokens).toBeGreaterThan(0);
    expect(completion._request_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("streams a chat and gets usage when it asks", async () => {
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_tokens: 12,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("").length).toBeGreaterThan(0);
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(12);
  });

  test("streams a chat without usage when it does not ask", async () => {
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_tokens: 12,
      stream: true,
    });
    const chunks = await collect(stream);
    expect(chunks.some(({ usage }) => usage)).toBe(false);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("length");
  });

  test("the stream helper gathers the whole answer", async () => {
    const completion = await client.chat.completions
      .stream({ model: MODEL, messages, max_tokens: 12, seed: 3 })
      .finalChatCompletion();
    const whole = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 12, seed: 3 });
    expect(completion.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
  });

  test("calls a tool", async () => {
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages,
      tools: [tool],
      tool_choice: { type: "function", function: { name: "get_weather" } },
    });
    const call = completion.choices[0]?.message.tool_calls?.[0];
    expect(call?.type === "function" && call.function.name).toBe("get_weather");
    expect(call?.type === "function" && JSON.parse(call.function.arguments)).toHaveProperty("city");
  });

  test("calls a tool in a stream", async () => {
    const stream = client.chat.completions.stream({
      model: MODEL,
      messages,
      tools: [tool],
      tool_choice: { type: "function", function: { name: "get_weather" } },
    });
    const call = (await stream.finalChatCompletion()).choices[0]?.message.tool_calls?.[0];
    expect(call?.type === "function" && JSON.parse(call.function.arguments)).toHaveProperty("city");
  });

  test("gets structured output", async () => {
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages,
      response_format: { type: "json_schema", json_schema: { name: "city", schema, strict: true } },
    });
    const value: unknown = JSON.parse(completion.choices[0]?.message.content ?? "");
    expect(value).toEqual({ city: expect.any(String), population: expect.any(Number) });
  });

  test("completes a text, streamed and not", async () => {
    const whole = await client.completions.create({ model: MODEL, prompt: "Once", max_tokens: 8, seed: 1 });
    const stream = await client.completions.create({
      model: MODEL,
      prompt: "Once",
      max_tokens: 8,
      seed: 1,
      stream: true,
    });
    const parts = (await collect(stream)).map((part) => part.choices[0]?.text ?? "");
    expect(parts.join("")).toBe(whole.choices[0]?.text);
    expect(whole.usage?.completion_tokens).toBe(8);
  });

  test("embeds texts, as base64 on the wire and as numbers", async () => {
    const decoded = await client.embeddings.create({ model: EMBEDDER, input: ["sea", "mountain"] });
    const plain = await client.embeddings.create({ model: EMBEDDER, input: "sea", encoding_format: "float" });
    expect(decoded.data).toHaveLength(2);
    expect(decoded.data[0]?.embedding).toHaveLength(384);
    expect(decoded.data[0]?.embedding[0]).toBeCloseTo(plain.data[0]?.embedding[0] ?? Number.NaN, 5);
  });

  test("lists models, and the first one chats", async () => {
    const models = (await collect(client.models.list())).map(({ id }) => id);
    expect(models).toEqual([MODEL, EMBEDDER]);
    expect((await client.models.retrieve(EMBEDDER)).id).toBe(EMBEDDER);
    const first = await client.chat.completions.create({ model: models[0] ?? "", messages, max_tokens: 4 });
    expect(first.choices).toHaveLength(1);
  });

  test.each([
    [
      "a wrong key",
      AuthenticationError,
      401,
      () => clientOf(platform.gateway.url, { apiKey: "sk-no" }).models.list(),
    ],
    [
      "an unknown model",
      NotFoundError,
      404,
      () => client.chat.completions.create({ model: "nope", messages }),
    ],
    [
      "no messages",
      BadRequestError,
      400,
      () => client.chat.completions.create({ model: MODEL, messages: [] }),
    ],
    [
      "a parameter that the engine refuses",
      BadRequestError,
      400,
      () => client.chat.completions.create({ model: MODEL, messages, max_tokens: -1 }),
    ],
  ])("%s raises its own class", async (_, errorClass, status, attempt) => {
    const error = await Promise.resolve(attempt()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ status, requestID: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  });

  test("a stream that it aborts ends the engine's work", async () => {
    const stream = await client.chat.completions.create({ ...endless, stream: true });
    for await (const _ of stream) {
      expect(await running(platform.chatEngine)).toBe(1);
      break;
    }
    await until(async () => (await running(platform.chatEngine)) === 0, 1_000);
  });

  test("a chat that it aborts ends the engine's work", async () => {
    const leaving = new AbortController();
    const chat = client.chat.completions.create(endless, { signal: leaving.signal });
    const outcome = chat.catch((error: unknown) => error);
    await until(async () => (await running(platform.chatEngine)) === 1);
    leaving.abort();
    expect(await outcome).toBeInstanceOf(APIUserAbortError);
    await until(async () => (await running(platform.chatEngine)) === 0, 1_000);
  });
});

describe("the OpenAI SDK for Node.js, when the engine fails", () => {
  test("tries again after an overload, as long as the gateway asks for, and succeeds", async () => {
    const replica = await startReplica();
    const gateway = await startTestGateway({ replicas: [replica.url] });
    replica.behave = (request, response) => {
      response.setHeader("retry-after", "1");
      sendJson(response, {}, 503);
      replica.behave = answerChat;
      return request.aborted.then(() => undefined);
    };
    const started = performance.now();
    const completion = await clientOf(gateway.url, { maxRetries: 1 }).chat.completions.create({
      model: MODEL,
      messages,
    });
    expect(completion.choices[0]?.message.content).toBe("Hello there.");
    expect(performance.now() - started).toBeGreaterThan(990);
    expect(replica.received).toHaveLength(2);
    await gateway.close();
    await replica.close();
  });

  test("does not try again after a deadline, and raises a server error", async () => {
    const replica = await startReplica(() => undefined);
    const env = { GATEWAY_REQUEST_TIMEOUT_SECONDS: "0.1" };
    const gateway = await startTestGateway({ replicas: [replica.url], env });
    const chat = clientOf(gateway.url, { maxRetries: 2 }).chat.completions.create({ model: MODEL, messages });
    await expect(chat).rejects.toBeInstanceOf(InternalServerError);
    expect(replica.received).toHaveLength(1);
    await gateway.close();
    await replica.close();
  });

  test("raises an error when a stream breaks off", async () => {
    const replica = await startReplica((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(
        'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
        () => response.socket?.destroy(),
      );
    });
    const gateway = await startTestGateway({ replicas: [replica.url] });
    const stream = await clientOf(gateway.url).chat.completions.create({
      model: MODEL,
      messages,
      stream: true,
    });
    await expect(collect(stream)).rejects.toBeInstanceOf(APIError);
    await gateway.close();
    await replica.close();
  });
});
