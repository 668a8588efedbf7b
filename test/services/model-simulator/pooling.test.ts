import { describe, expect, test } from "vitest";
import { z } from "zod";
import { cosine, embed } from "../../../services/model-simulator/vectors.ts";
import { post, startSimulator } from "./support.ts";

const embeddingsSchema = z.object({
  data: z.array(z.object({ index: z.number(), embedding: z.union([z.array(z.number()), z.string()]) })),
  usage: z.object({ prompt_tokens: z.number() }),
});

async function embeddings(url: string, body: object) {
  const response = await post(url, "/v1/embeddings", body);
  expect(response.status).toBe(200);
  return embeddingsSchema.parse(await response.json());
}

function vectorOf(entry: { embedding: number[] | string } | undefined): Float32Array {
  return Float32Array.from(Array.isArray(entry?.embedding) ? entry.embedding : []);
}

describe("an embedding", () => {
  test("has unit length, also of an empty text", () => {
    for (const text of ["", "!?", "Hello world", "臺北市的天氣"]) {
      const vector = embed(text, 384);
      expect(cosine(vector, vector)).toBeCloseTo(1, 5);
    }
  });

  test.for([
    ["How do I reset my password?", "I forgot my password, how can I reset it?", "The train leaves at nine."],
    ["cheap flights to Tokyo", "Tokyo flight prices", "how to bake bread"],
    ["臺北 的 天氣", "臺北 今天 的 天氣", "股票 價格"],
  ] as const)("%s is closer to a similar text than to an unrelated one", ([text, similar, unrelated]) => {
    const [own, near, far] = [embed(text, 384), embed(similar, 384), embed(unrelated, 384)];
    expect(cosine(own, near)).toBeGreaterThan(cosine(own, far) + 0.2);
  });

  test("is the same as floats and as base64, and in a batch", async () => {
    const { url } = await startSimulator("--runner=pooling");
    const [plain, encoded, batch] = await Promise.all([
      embeddings(url, { input: "Hello world" }),
      embeddings(url, { input: "Hello world", encoding_format: "base64" }),
      embeddings(url, { input: ["Bye", "Hello world"] }),
    ]);
    const bytes = Buffer.from(String(encoded.data[0]?.embedding), "base64");
    const decoded = Float32Array.from({ length: bytes.length / 4 }, (_, index) =>
      bytes.readFloatLE(index * 4),
    );
    expect(decoded).toEqual(vectorOf(plain.data[0]));
    expect(vectorOf(batch.data[1])).toEqual(vectorOf(plain.data[0]));
  });

  test("has as many dimensions as the setting, or fewer where the model allows it", async () => {
    const { url } = await startSimulator(
      "--runner=pooling",
      "--sim-embedding-dimensions=128",
      "--sim-matryoshka",
    );
    const whole = vectorOf((await embeddings(url, { input: "x" })).data[0]);
    const short = vectorOf((await embeddings(url, { input: "x", dimensions: 32 })).data[0]);
    expect([whole.length, short.length]).toEqual([128, 32]);
    expect(cosine(short, short)).toBeCloseTo(1, 5);
    expect((await post(url, "/v1/embeddings", { input: "x", dimensions: 256 })).status).toBe(400);
  });

  test("takes the time to a first token", async () => {
    const { url } = await startSimulator("--runner=pooling", "--sim-time-to-first-token-ms=80");
    const begun = performance.now();
    await embeddings(url, { input: "x" });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(78);
  });
});

describe("rerank", () => {
  test("puts the document that shares words first and keeps each one's index", async () => {
    const { url } = await startSimulator("--runner=pooling");
    const documents = ["bread and butter", "the capital city of France is Paris", { text: "a banana" }];
    const response = await post(url, "/v1/rerank", { query: "capital of France", documents, top_n: 2 });
    const { results } = z
      .object({
        results: z.array(
          z.object({
            index: z.number(),
            relevance_score: z.number(),
            document: z.object({ text: z.string() }),
          }),
        ),
      })
      .parse(await response.json());
    expect([results.length, results[0]?.index, results[0]?.document.text]).toEqual([2, 1, documents[1]]);
  });
});
