import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EMBEDDER, KEY, MODEL, until } from "../support.ts";
import { type Platform, running, startPlatform } from "./models.ts";

let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform();
});

afterAll(async () => {
  await platform?.close();
});

const chat = {
  model: MODEL,
  messages: [{ role: "user", content: "Tell me about the sea." }],
  max_tokens: 12,
};

interface Chunk {
  readonly choices: readonly { readonly finish_reason: string | null }[];
  readonly usage?: { readonly completion_tokens: number; readonly total_tokens: number } | null;
}

async function post(path: string, body: object): Promise<Response> {
  return fetch(`${platform.gateway.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify(body),
  });
}

/** The payloads of a whole stream, read without any SDK. */
async function payloads(body: object): Promise<string[]> {
  const response = await post("/v1/chat/completions", { ...body, stream: true });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  const events = (await response.text()).split("\n\n");
  expect(events.pop()).toBe("");
  return events.map((event) => {
    expect(event).toMatch(/^data: /);
    return event.slice("data: ".length);
  });
}

async function chunks(body: object): Promise<Chunk[]> {
  const all = await payloads(body);
  expect(all.pop()).toBe("[DONE]");
  return all.map((payload) => JSON.parse(payload) as Chunk);
}

describe("a stream, read event by event", () => {
  it("has whole events, one finish reason and [DONE] at its end", async () => {
    const all = await chunks(chat);
    expect(all.filter(({ choices }) => choices[0]?.finish_reason != null)).toHaveLength(1);
    expect(all.some((chunk) => chunk.usage)).toBe(false);
  });

  it("tells its usage at the end alone, where the client asks for it once", async () => {
    const all = await chunks({ ...chat, stream_options: { include_usage: true } });
    expect(all.filter((chunk) => chunk.usage)).toHaveLength(1);
    expect(all.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 12 } });
  });

  it("tells its usage in every chunk, where the client asks for that", async () => {
    const options = { include_usage: true, continuous_usage_stats: true };
    const all = await chunks({ ...chat, stream_options: options });
    const counted = all.map((chunk) => chunk.usage?.completion_tokens);
    expect(counted.every((tokens) => tokens !== undefined)).toBe(true);
    expect(counted.at(-1)).toBe(12);
    expect(counted).toEqual([...counted].sort((a = 0, b = 0) => a - b));
  });
});

describe("a client that goes away without a word", () => {
  const endless = { ...chat, max_tokens: 5_000, ignore_eos: true };

  async function begin(body: object): Promise<Socket> {
    const { port } = new URL(platform.gateway.url);
    const socket = connect(Number(port), "127.0.0.1");
    const text = JSON.stringify(body);
    socket.write(
      [
        "POST /v1/chat/completions HTTP/1.1",
        "host: gateway",
        "content-type: application/json",
        `authorization: Bearer ${KEY}`,
        `content-length: ${Buffer.byteLength(text)}`,
        "",
        text,
      ].join("\r\n"),
    );
    await until(async () => (await running(platform.chatEngine)) === 1);
    return socket;
  }

  it("in the middle of its stream frees the engine within a second", async () => {
    const socket = await begin({ ...endless, stream: true });
    await once(socket, "data");
    socket.resetAndDestroy();
    await until(async () => (await running(platform.chatEngine)) === 0, 1_000);
  });

  it("before its answer begins frees the engine within a second", async () => {
    const socket = await begin(endless);
    socket.resetAndDestroy();
    await until(async () => (await running(platform.chatEngine)) === 0, 1_000);
  });
});

describe("what the engine refuses", () => {
  const long = { role: "user", content: "sea ".repeat(40_000) };

  it.each([
    ["a prompt beyond its context", "/v1/chat/completions", { ...chat, messages: [long] }],
    ["a negative temperature", "/v1/chat/completions", { ...chat, temperature: -1 }],
    ["a limit that is no number", "/v1/chat/completions", { ...chat, max_tokens: "many" }],
    ["embeddings of nothing", "/v1/embeddings", { model: EMBEDDER, input: [[]] }],
  ])("%s is answered as 400 in OpenAI's shape", async (_, path, body) => {
    const response = await post(path, body);
    expect(response.status).toBe(400);
    const answer = (await response.json()) as { error: Record<string, unknown> };
    expect(Object.keys(answer)).toEqual(["error"]);
    expect(answer.error).toMatchObject({ type: "invalid_request_error", code: expect.any(String) });
    expect(String(answer.error.message)).not.toMatch(/Traceback|\.py|127\.0\.0\.1/);
  });

  it("and a stream that it refuses gets a status too, not an empty stream", async () => {
    const response = await post("/v1/chat/completions", { ...chat, messages: [long], stream: true });
    expect(response.status).toBe(400);
    expect(await response.json()).toHaveProperty("error.type", "invalid_request_error");
  });
});
