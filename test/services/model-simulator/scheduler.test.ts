import { describe, expect, test, vi } from "vitest";
import { sampleValue } from "./contract/metrics-comparison.ts";
import { chat, HELLO, post, scrape, startSimulator } from "./support.ts";

async function gauge(url: string, name: string) {
  return sampleValue(await scrape(url), `vllm:${name}`);
}

/** A chat that hangs until `leave` is called. */
function hang(url: string) {
  const client = new AbortController();
  const options = { headers: { "x-sim-fault": "hang" }, signal: client.signal };
  const gone = post(url, "/v1/chat/completions", { messages: HELLO }, options).catch(() => undefined);
  return {
    leave: async () => {
      client.abort();
      await gone;
    },
  };
}

describe("the batch", () => {
  test("holds no more sequences than it has slots and lets the others wait in order of arrival", async () => {
    const { url } = await startSimulator("--max-num-seqs=1");
    const first = hang(url);
    await vi.waitFor(async () => expect(await gauge(url, "num_requests_running")).toBe(1));
    const order: number[] = [];
    const waiting: Promise<unknown>[] = [];
    for (const number of [1, 2, 3]) {
      waiting.push(chat(url, { max_tokens: 1 }).then(() => order.push(number)));
      await vi.waitFor(async () => expect(await gauge(url, "num_requests_waiting")).toBe(number));
    }
    expect(await gauge(url, "num_requests_running")).toBe(1);
    await first.leave();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
    expect(await gauge(url, "num_requests_waiting")).toBe(0);
  });

  test("forgets a waiting sequence, when its client goes", async () => {
    const { url } = await startSimulator("--max-num-seqs=1");
    const [running, waiting] = [hang(url), hang(url)];
    await vi.waitFor(async () => expect(await gauge(url, "num_requests_waiting")).toBe(1));
    await waiting.leave();
    await vi.waitFor(async () => expect(await gauge(url, "num_requests_waiting")).toBe(0));
    expect(await gauge(url, "num_requests_running")).toBe(1);
    await running.leave();
  });

  test("counts each choice of n as a sequence and the tokens in the cache", async () => {
    const { url } = await startSimulator("--sim-kv-cache-blocks=10", "--block-size=64");
    const client = new AbortController();
    const options = { headers: { "x-sim-fault": "hang" }, signal: client.signal };
    const gone = post(url, "/v1/chat/completions", { messages: HELLO, n: 3 }, options).catch(() => undefined);
    await vi.waitFor(async () => expect(await gauge(url, "num_requests_running")).toBe(3));
    expect(await gauge(url, "kv_cache_usage_perc")).toBeCloseTo(0.1, 5);
    client.abort();
    await gone;
  });
});

describe("the time of tokens", () => {
  test("is the time to the first one and then one interval each", async () => {
    const { url } = await startSimulator(
      "--sim-time-to-first-token-ms=60",
      "--sim-time-per-output-token-ms=10",
    );
    const begun = performance.now();
    await chat(url, { max_tokens: 11 });
    const took = performance.now() - begun;
    expect(took).toBeGreaterThanOrEqual(158);
    expect(took).toBeLessThan(1500);
    const text = await scrape(url);
    expect(sampleValue(text, "vllm:time_to_first_token_seconds_sum")).toBeCloseTo(0.06, 2);
    expect(sampleValue(text, "vllm:inter_token_latency_seconds_sum")).toBeCloseTo(0.1, 2);
  });

  test("passes for a whole answer too: its tokens are counted as they come", async () => {
    const { url } = await startSimulator("--sim-time-per-output-token-ms=5");
    const client = new AbortController();
    const body = { messages: HELLO, max_tokens: 8000, ignore_eos: true };
    const gone = post(url, "/v1/chat/completions", body, { signal: client.signal }).catch(() => undefined);
    await vi.waitFor(async () => expect(await gauge(url, "generation_tokens_total")).toBeGreaterThan(5));
    expect(await gauge(url, "num_requests_running")).toBe(1);
    client.abort();
    await gone;
  });
});

describe("the metrics", () => {
  test("move by what the requests did", async () => {
    const { url } = await startSimulator();
    const { usage } = await chat(url, { max_tokens: 4 });
    await chat(url, { max_tokens: 4 });
    await chat(url);
    const text = await scrape(url);
    const value = (name: string, labels = {}) => sampleValue(text, name, labels);
    expect(value("vllm:prompt_tokens_total")).toBe(3 * usage.prompt_tokens);
    expect(value("vllm:request_success_total", { finished_reason: "length" })).toBe(2);
    expect(value("vllm:request_success_total", { finished_reason: "stop" })).toBe(1);
    expect(value("vllm:time_to_first_token_seconds_count")).toBe(3);
    expect(value("vllm:e2e_request_latency_seconds_count")).toBe(3);
    const tokens = value("vllm:generation_tokens_total") ?? 0;
    expect(value("vllm:inter_token_latency_seconds_count")).toBe(tokens - 3);
    expect(value("vllm:request_generation_tokens_sum")).toBe(tokens);
    const labels = { handler: "/v1/chat/completions", method: "POST", status: "2xx" };
    expect(value("http_requests_total", labels)).toBe(3);
  });
});
