import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import OpenAI, { BadRequestError, NotFoundError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../../stores.ts";
import { EMBEDDER, KEY, MODEL, until } from "../support.ts";
import { type Platform, startPlatform } from "./models.ts";
import { preparePython, run } from "./python.ts";

const LIMIT_MS = 90_000;
const SUITE = fileURLToPath(new URL("batches.py", import.meta.url));

const python = await preparePython();
const reason = "missing" in python ? ` (skipped: ${python.missing})` : "";

let postgres: StoreProcess;
let platform: Platform;
let client: OpenAI;

beforeAll(async () => {
  postgres = await startPostgres(POSTGRES_KINDS[0] ?? "embedded");
  const contentKeys = JSON.stringify([{ id: "k1", key: randomBytes(32).toString("base64") }]);
  platform = await startPlatform({ GATEWAY_DATABASE_URL: postgres.url, GATEWAY_CONTENT_KEYS: contentKeys });
  client = new OpenAI({ baseURL: `${platform.gateway.url}/v1`, apiKey: KEY, maxRetries: 0 });
  const isReady = () =>
    client.batches.list().then(
      () => true,
      () => false,
    );
  await until(isReady, LIMIT_MS);
}, LIMIT_MS);

afterAll(async () => {
  await platform?.close();
  await postgres?.stop();
});

function lines(count: number, extra: object = {}): string {
  return Array.from({ length: count }, (_, index) => {
    const body = { model: MODEL, messages: [{ role: "user", content: "Hello" }], max_tokens: 4, ...extra };
    return JSON.stringify({ custom_id: `r${index}`, method: "POST", url: "/v1/chat/completions", body });
  }).join("\n");
}

async function uploaded(text: string, name = "in.jsonl") {
  return client.files.create({ file: await toFile(Buffer.from(text), name), purpose: "batch" });
}

async function ended(id: string): Promise<OpenAI.Batch> {
  let batch = await client.batches.retrieve(id);
  const isOver = () => ["completed", "failed", "cancelled", "expired"].includes(batch.status);
  await until(async () => {
    batch = await client.batches.retrieve(id);
    return isOver();
  }, LIMIT_MS);
  return batch;
}

describe("the OpenAI SDK for Node.js, files and batches", () => {
  test("a batch from the upload to its results", { timeout: LIMIT_MS }, async () => {
    const file = await uploaded(lines(5));
    expect(file).toMatchObject({ object: "file", purpose: "batch", filename: "in.jsonl" });
    const batch = await client.batches.create({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      metadata: { night: "one" },
    });
    const done = await ended(batch.id);
    expect(done).toMatchObject({ status: "completed", metadata: { night: "one" } });
    expect(done.request_counts).toEqual({ total: 5, completed: 5, failed: 0 });
    const results = (await (await client.files.content(done.output_file_id ?? "")).text()).trim().split("\n");
    const [first] = results.map((text) => JSON.parse(text) as { response: { body: OpenAI.ChatCompletion } });
    expect(results).toHaveLength(5);
    expect(first?.response.body.choices[0]?.message.content).toBeTruthy();
    expect(first?.response.body.usage?.completion_tokens).toBe(4);
  });

  test("embeddings in a batch", { timeout: LIMIT_MS }, async () => {
    const body = { model: EMBEDDER, input: "sea" };
    const file = await uploaded(
      JSON.stringify({ custom_id: "e", method: "POST", url: "/v1/embeddings", body }),
    );
    const asked = { endpoint: "/v1/embeddings", completion_window: "24h" } as const;
    const batch = await client.batches.create({ input_file_id: file.id, ...asked });
    expect((await ended(batch.id)).request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
  });

  test("a batch that is cancelled", { timeout: LIMIT_MS }, async () => {
    const file = await uploaded(lines(20, { max_tokens: 5_000, ignore_eos: true }));
    const asked = { endpoint: "/v1/chat/completions", completion_window: "24h" } as const;
    const { id } = await client.batches.create({ input_file_id: file.id, ...asked });
    await until(async () => (await client.batches.retrieve(id)).status === "in_progress", LIMIT_MS);
    expect((await client.batches.cancel(id)).status).toBe("cancelling");
    expect((await ended(id)).status).toBe("cancelled");
  });

  test("listings page by themselves", { timeout: LIMIT_MS }, async () => {
    const files = [await uploaded("{}", "a"), await uploaded("{}", "b"), await uploaded("{}", "c")];
    const seen: string[] = [];
    for await (const { id } of client.files.list({ limit: 2 })) seen.push(id);
    expect(seen.slice(0, 3)).toEqual(files.map(({ id }) => id).toReversed());
    for await (const batch of client.batches.list({ limit: 1 })) expect(batch.object).toBe("batch");
  });

  test("a file that is deleted is gone, with the SDK's own errors", { timeout: LIMIT_MS }, async () => {
    const { id } = await uploaded("{}");
    expect(await client.files.delete(id)).toEqual({ id, object: "file", deleted: true });
    await expect(client.files.retrieve(id)).rejects.toBeInstanceOf(NotFoundError);
    await expect(client.files.content(id)).rejects.toBeInstanceOf(NotFoundError);
    const other = { file: await toFile(Buffer.from("{}"), "x"), purpose: "fine-tune" as const };
    await expect(client.files.create(other)).rejects.toBeInstanceOf(BadRequestError);
  });
});

describe.skipIf(reason !== "")(`the OpenAI SDK for Python, files and batches${reason}`, () => {
  test("passes its suite unchanged", { timeout: LIMIT_MS }, async () => {
    if ("missing" in python) throw new Error(python.missing);
    const env = { MODEL, KEY, GATEWAY: platform.gateway.url };
    const { stderr } = await run(python.executable, [SUITE], { env, timeout: LIMIT_MS - 10_000 }).catch(
      (error: { stderr: string }) => error,
    );
    expect(stderr).toMatch(/^Ran 3 tests in .*\n\nOK\n$/m);
  });
});
