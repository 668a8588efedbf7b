import { describe, expect, test, vi } from "vitest";
import { parseFault } from "../../../services/model-simulator/faults.ts";
import { sampleValue } from "./contract/metrics-comparison.ts";
import { chat, contentOf, HELLO, post, scrape, startPlain, startSimulator, streamChat } from "./support.ts";

function withFault(fault: string) {
  return { headers: { "x-sim-fault": fault } };
}

const CHAT = "/v1/chat/completions";
const TOOL = { type: "function", function: { name: "look_up", parameters: { type: "object" } } };

describe("a fault", () => {
  test.for([
    "",
    "status",
    "status=200",
    "delay=soon",
    "cut=-1",
    "die=1",
    "unstructured=1",
    "hang=1=2",
    "unknown",
    "status=503,oops",
  ])("%j: is refused, when it is misspelt", (text) => {
    expect(parseFault(text)).toBeUndefined();
  });

  test("joins its parts", () => {
    expect(parseFault("delay=5, status=503")).toEqual({ delay: 5, status: 503 });
    expect(parseFault("cut,hang=3,die")).toEqual({ cut: 0, hang: 3, die: true });
    expect(parseFault("unstructured,delay=1")).toEqual({ unstructured: true, delay: 1 });
  });

  test("status: answers with it in vLLM's error shape", async () => {
    const { url } = await startSimulator();
    const response = await post(url, CHAT, { messages: HELLO }, withFault("status=503"));
    expect([response.status, await response.json()]).toMatchObject([
      503,
      { error: { code: 503, param: null } },
    ]);
  });

  test("delay: holds the answer back", async () => {
    const { url } = await startSimulator();
    const begun = performance.now();
    await chat(url, { max_tokens: 1 }, withFault("delay=120"));
    expect(performance.now() - begun).toBeGreaterThan(115);
  });

  test("cut: destroys a stream after so many chunks and frees the slot", async () => {
    const { url } = await startSimulator("--sim-time-per-output-token-ms=1");
    const response = await post(url, CHAT, { messages: HELLO, stream: true }, withFault("cut=3"));
    let text = "";
    const read = async () => {
      const decoder = new TextDecoder();
      for await (const part of response.body ?? []) text += decoder.decode(part, { stream: true });
    };
    await expect(read()).rejects.toThrow();
    expect(text.match(/^data: /gm)).toHaveLength(3);
    await vi.waitFor(async () => expect(sampleValue(await scrape(url), "vllm:num_requests_running")).toBe(0));
  });

  test("cut: breaks off a whole answer inside its body", async () => {
    const { url } = await startSimulator();
    const response = await post(url, CHAT, { messages: HELLO }, withFault("cut"));
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  test("hang: keeps the slot in silence until the client goes", async () => {
    const { url } = await startSimulator();
    const client = new AbortController();
    const answer = post(url, CHAT, { messages: HELLO }, { ...withFault("hang"), signal: client.signal });
    const running = async () => sampleValue(await scrape(url), "vllm:num_requests_running");
    await vi.waitFor(async () => expect(await running()).toBe(1));
    client.abort();
    await expect(answer).rejects.toThrow();
    await vi.waitFor(async () => expect(await running()).toBe(0));
  });

  test("die: makes health 503 and ends the server", async () => {
    const { url, closed } = await startSimulator();
    const response = await post(url, CHAT, { messages: HELLO }, withFault("die"));
    expect(response.status).toBe(500);
    expect((await fetch(`${url}/health`)).status).toBe(503);
    await closed;
  });

  const WANTED: [string, object][] = [
    ["a JSON object", { response_format: { type: "json_object" } }],
    [
      "JSON of a schema",
      { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object" } } } },
    ],
    ["the model's choice of a tool", { tools: [TOOL] }],
    ["some tool", { tools: [TOOL], tool_choice: "required" }],
    ["a named tool", { tools: [TOOL], tool_choice: { type: "function", function: { name: "look_up" } } }],
  ];

  test.for(WANTED)("unstructured: gives plain text, when %s is wanted", async ([, wanted]) => {
    const { url } = await startSimulator("--enable-auto-tool-choice", "--tool-call-parser=hermes");
    const structured = await chat(url, wanted);
    expect(structured.choices[0]?.message.tool_calls ?? JSON.parse(contentOf(structured))).toBeTruthy();
    const plain = await chat(url, wanted, withFault("unstructured"));
    expect(contentOf(plain)).toBe(contentOf(await chat(url)));
    expect(plain.choices[0]).toMatchObject({ finish_reason: "stop" });
    expect(plain.choices[0]?.message).not.toHaveProperty("tool_calls");
    const { chunks } = await streamChat(url, wanted, withFault("unstructured"));
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
    expect(deltas.map(({ content }) => content ?? "").join("")).toBe(contentOf(plain));
    expect(deltas.some(({ tool_calls: calls }) => calls !== undefined)).toBe(false);
  });

  test("is answered with 400, when a request's header is misspelt", async () => {
    const { url } = await startSimulator();
    expect((await post(url, CHAT, { messages: HELLO }, withFault("statsu=503"))).status).toBe(400);
  });

  test("of a request is ignored, when the simulator does not allow it", async () => {
    const { url } = await startPlain();
    expect((await post(url, CHAT, { messages: HELLO, max_tokens: 1 }, withFault("status=500"))).status).toBe(
      200,
    );
  });

  test("of the settings strikes its share of requests, the same ones for the same seed", async () => {
    const flags = ["--sim-fault=status=500", "--sim-fault-rate=0.3", "--sim-seed=4"];
    const statuses = async () => {
      const { url } = await startSimulator(...flags);
      const list: number[] = [];
      for (let count = 0; count < 60; count += 1)
        list.push((await post(url, CHAT, { messages: HELLO, max_tokens: 1 })).status);
      return list;
    };
    const first = await statuses();
    const failed = first.filter((status) => status === 500).length;
    expect(failed).toBeGreaterThan(8);
    expect(failed).toBeLessThan(30);
    expect(await statuses()).toEqual(first);
  });

  test("leaves health, models and metrics alone", async () => {
    const { url } = await startSimulator("--sim-fault=status=500");
    for (const path of ["/health", "/v1/models", "/metrics"])
      expect((await fetch(url + path)).status).toBe(200);
  });
});
