import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startModelSimulator } from "../../../../services/model-simulator/server.ts";
import { LEFT_OUT, readFamilies, sampleValue } from "./metrics-comparison.ts";
import { comparable } from "./normalise.ts";
import { type RecordedExchange, readExchange, readTable, recordingNames } from "./recording.ts";
import { recordedAnswer, replay } from "./replay.ts";
import { serverConfig } from "./servers.ts";
import type { Replay } from "./special-replays.ts";
import { NOT_COPIED, TABLE } from "./table.ts";

let adapterFolder: string;

beforeAll(() => {
  adapterFolder = mkdtempSync(join(tmpdir(), "adapter-"));
  writeFileSync(join(adapterFolder, "adapter_config.json"), "{}");
});

afterAll(() => rmSync(adapterFolder, { recursive: true }));

function requestOf(name: string, change?: Replay["change"]): RecordedExchange["request"] {
  const { request } = readExchange(name);
  if (request.body === null) return request;
  const body = change ? change.body(request.body) : request.body;
  // The adapter that the recorded server could load.
  return { ...request, body: body.replace("/models/tiny-lora", adapterFolder) };
}

async function occupy(url: string, requests: number) {
  const client = new AbortController();
  onTestFinished(() => client.abort());
  const authorization = "Bearer sekret";
  const headers = { "content-type": "application/json", "x-sim-fault": "hang=1", authorization };
  const body = JSON.stringify({ messages: [{ role: "user", content: "Hello" }], stream: true });
  const open = Array.from({ length: requests }, () =>
    fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body, signal: client.signal }),
  );
  await Promise.all(open);
}

async function prepare({ server, after, occupied }: Replay): Promise<string> {
  const simulator = await startModelSimulator(serverConfig(server));
  onTestFinished(simulator.close);
  if (occupied !== undefined) await occupy(simulator.url, occupied);
  for (const name of after ?? []) await replay(simulator.url, requestOf(name));
  return simulator.url;
}

const replays = TABLE.flatMap(([name, entry]) => (entry.kind === "replay" ? [[name, entry] as const] : []));
const scrapes = TABLE.flatMap(([name, entry]) => (entry.kind === "metrics" ? [[name, entry] as const] : []));

describe("vLLM 0.32.0's recorded answers", () => {
  test.for(replays)("%s: the simulator answers alike", async ([name, entry]) => {
    const url = await prepare(entry);
    const expected = recordedAnswer(readExchange(name));
    const answer = await replay(url, requestOf(name, entry.change));
    const ignored = entry.ignore?.paths ?? [];
    expect(comparable(answer, ignored)).toEqual(comparable(expected, ignored));
  });

  test.for(scrapes)("%s: each metric has vLLM's type, labels and buckets", async ([name, entry]) => {
    const url = await prepare(entry);
    const expected = recordedAnswer(readExchange(name));
    const answer = await replay(url, requestOf(name));
    expect(answer.headers["content-type"]).toBe(expected.headers["content-type"]);
    const families = readFamilies(expected.body);
    for (const [family, found] of readFamilies(answer.body)) {
      expect([family, found]).toEqual([family, { ...families.get(family), labels: expect.anything() }]);
      expect(families.get(family)?.labels).toEqual(expect.arrayContaining([...found.labels]));
    }
    for (const [sample, labels] of entry.values ?? []) {
      expect([sample, sampleValue(answer.body, sample, labels)]).toEqual([
        sample,
        sampleValue(expected.body, sample, labels),
      ]);
    }
  });
});

describe("vLLM 0.32.0's metrics", () => {
  test("metrics.tsv: each family is there or left out for a reason, and no reason is idle", async () => {
    const generating = await startModelSimulator(serverConfig("keyed"));
    onTestFinished(generating.close);
    await replay(generating.url, requestOf("lora-load"));
    await replay(generating.url, requestOf("lora-chat"));
    const answer = await replay(generating.url, requestOf("get-metrics"));
    const families = readFamilies(answer.body);
    const [, ...recorded] = readTable("metrics.tsv");
    const leftOut = recorded.filter(([name = ""]) => LEFT_OUT.some(({ names }) => names.test(name)));
    const expected = recorded.filter((row) => !leftOut.includes(row));
    expect([...families.keys()].sort()).toEqual(expected.map(([name]) => name).sort());
    for (const [name = "", type, labels = ""] of expected) {
      const named = labels.split(",").filter((label) => label !== "le" && label !== "");
      expect([name, families.get(name)?.type, families.get(name)?.labels]).toEqual([
        name,
        type,
        named.sort(),
      ]);
    }
    for (const { names } of LEFT_OUT) expect(leftOut.some(([name = ""]) => names.test(name))).toBe(true);
  });
});

describe("recordings that do not apply", () => {
  for (const [name, entry] of TABLE) {
    if (entry.kind === "skipped") test.skip(`${name}: ${entry.reason}`, () => undefined);
  }
});

describe("the contract table", () => {
  test("every recording is in it exactly once", () => {
    const listed = TABLE.map(([name]) => name);
    expect([...listed].sort()).toEqual([...recordingNames(), ...NOT_COPIED].sort());
    expect(new Set(listed).size).toBe(listed.length);
  });
});
