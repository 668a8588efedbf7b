import { describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { type RunningSimulator, startModelSimulator } from "../../../../services/model-simulator/server.ts";
import { parseEvents, post, scrape, startSimulator } from "../support.ts";
import { sampleValue } from "./metrics-comparison.ts";
import { readObservation } from "./recording.ts";
import { type ServerName, serverConfig } from "./servers.ts";
import { TABLE } from "./table.ts";

const AUTHORIZED = { headers: { authorization: "Bearer sekret" } };
const PACE = ["--sim-time-per-output-token-ms=2"];

async function start(server: ServerName, ...flags: string[]): Promise<RunningSimulator> {
  const simulator = await startModelSimulator(serverConfig(server, flags));
  onTestFinished(simulator.close);
  return simulator;
}

function chatBody(maxTokens: number, stream: boolean) {
  return { messages: [{ role: "user", content: "Hello" }], max_tokens: maxTokens, stream };
}

/** Opens a stream and reads its first bytes. */
async function openStream(url: string, maxTokens: number, signal?: AbortSignal) {
  const response = await post(url, "/v1/chat/completions", chatBody(maxTokens, true), {
    ...AUTHORIZED,
    ...(signal && { signal }),
  });
  const reader = response.body?.getReader();
  if (!reader) throw new Error("the stream has no body");
  const first = await reader.read();
  const decoder = new TextDecoder();
  const rest = async () => {
    let text = decoder.decode(first.value, { stream: true });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value, { stream: true });
    }
  };
  return { rest };
}

async function chatAfterwards(url: string) {
  const response = await post(url, "/v1/chat/completions", chatBody(2, false), AUTHORIZED);
  return { status: response.status, body: await response.json() };
}

const probesSchema = z.array(z.object({ kind: z.string(), outcome: z.string() }));

function recordedChatError(name: string, field: string): unknown {
  const observation = z.record(z.string(), z.unknown()).parse(readObservation(name));
  const chat = probesSchema.parse(observation[field]).find(({ kind }) => kind === "chat");
  return JSON.parse(chat?.outcome.slice(chat.outcome.indexOf('{"error"')) ?? "");
}

async function gauges(url: string) {
  const text = await scrape(url);
  const value = (name: string, labels = {}) => sampleValue(text, name, labels);
  return {
    running: value("vllm:num_requests_running"),
    waiting: value("vllm:num_requests_waiting"),
    aborted: value("vllm:request_success_total", { finished_reason: "abort" }),
  };
}

async function clientDisconnect() {
  const { url } = await start("plain", ...PACE);
  for (const stream of [true, false]) {
    const client = new AbortController();
    const answer = post(url, "/v1/chat/completions", chatBody(480, stream), { signal: client.signal });
    const read = answer.then((response) => response.text());
    await vi.waitFor(async () => expect((await gauges(url)).running).toBe(1));
    client.abort();
    await expect(read).rejects.toThrow();
    await vi.waitFor(async () => expect(await gauges(url)).toEqual({ running: 0, waiting: 0, aborted: 0 }));
  }
}

async function engineCoreKilled() {
  const { url, closed } = await start("plain", ...PACE);
  const stream = await openStream(url, 400);
  const health = fetch(`${url}/health`);
  await health;
  const killed = await post(url, "/v1/chat/completions", chatBody(2, false), {
    headers: { "x-sim-fault": "die" },
  });
  const recorded = recordedChatError("engine-core-killed", "probes");
  expect([killed.status, await killed.json()]).toEqual([500, recorded]);
  expect(await chatAfterwards(url)).toEqual({ status: 500, body: recorded });
  expect((await fetch(`${url}/v1/models`)).status).toBe(200);
  const { chunks, ended } = parseEvents(await stream.rest());
  expect([chunks.at(-1), ended]).toEqual([recorded, true]);
  await closed;
  await expect(fetch(`${url}/health`)).rejects.toThrow();
}

async function drain() {
  const simulator = await start("draining", ...PACE);
  const { url } = simulator;
  const stream = await openStream(url, 450);
  const gone = simulator.shutDown();
  expect((await fetch(`${url}/health`)).status).toBe(200);
  const recorded = recordedChatError("sigterm-shutdown-timeout-20", "probes_after_sigterm");
  expect(await chatAfterwards(url)).toEqual({ status: 500, body: recorded });
  const { chunks, ended } = parseEvents(await stream.rest());
  expect([chunks.at(-1)?.choices[0]?.finish_reason, ended]).toEqual(["length", true]);
  await gone;
  await expect(fetch(`${url}/health`)).rejects.toThrow();
}

async function stall() {
  const [simulator, clock] = [await start("plain", ...PACE), await start("plain", ...PACE)];
  const client = new AbortController();
  const stream = await openStream(simulator.url, 100, client.signal);
  const end = vi.fn();
  const read = stream.rest().then(end, () => undefined);
  const gone = simulator.shutDown();
  await vi.waitFor(() => expect(fetch(`${simulator.url}/health`)).rejects.toThrow());
  // The same stream elsewhere tells when this one would have been over.
  await (await openStream(clock.url, 150)).rest();
  expect(end).not.toHaveBeenCalled();
  client.abort();
  await Promise.all([read, gone]);
  expect(end).not.toHaveBeenCalled();
}

async function startup() {
  const begun = performance.now();
  const { url } = await startSimulator("--sim-start-delay-s=0.3");
  expect(performance.now() - begun).toBeGreaterThan(290);
  expect((await fetch(`${url}/health`)).status).toBe(200);
}

const OBSERVATIONS: Readonly<Record<string, () => Promise<void>>> = {
  "client-disconnect": clientDisconnect,
  "engine-core-killed": engineCoreKilled,
  "sigterm-default": stall,
  "sigterm-default-repeat": stall,
  "sigterm-default-no-probes": stall,
  "sigterm-default-client-closes-after-5s": stall,
  "sigterm-shutdown-timeout-20": drain,
  startup,
};

describe("vLLM 0.32.0's recorded behaviour", () => {
  test.for(Object.entries(OBSERVATIONS))("%s: the simulator behaves alike", ([, observe]) => observe());

  test("every observation of the contract table has its test", () => {
    const listed = TABLE.filter(([, { kind }]) => kind === "observation").map(([name]) => name);
    expect(Object.keys(OBSERVATIONS).sort()).toEqual(listed.sort());
  });
});
