import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigError } from "../../../services/gateway/config-error.ts";
import { METRICS, PATHS } from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { BETA, FLAG, flag, flagged } from "./flags.ts";
import {
  beginStream,
  chatBody,
  chunk,
  EMBEDDER,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  sendJson,
  sha256,
  sse,
  startReplica,
  startTestGateway,
  testConfig,
  until,
} from "./support.ts";

const PROBE_KEY = "sk-probe";
const CLIENT = { id: "key-1", sha256: sha256(KEY), tenant: "acme" };
const PROBE = { id: "key-2", sha256: sha256(PROBE_KEY), tenant: "platform", probe: true };
const STREAM = chatBody({ stream: true });
const UNKNOWN_KEY = "sk-nobody";

let replica: FakeReplica;
let gateway: RunningGateway;

beforeEach(async () => {
  replica = await startReplica();
  const flags = await flagged(replica.url, { [FLAG]: flag({}) });
  const env = { ...flags, GATEWAY_KEYS: JSON.stringify([CLIENT, PROBE]) };
  gateway = await startTestGateway({ replicas: [replica.url], env });
});

afterEach(async () => {
  await gateway.close();
  await replica.close();
});

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function ask(key: string, body?: string): Promise<number> {
  const response = await post(gateway.url, { headers: bearer(key), ...(body ? { body } : {}) });
  // A stream that is cut off ends in an error here.
  await response.text().catch(() => undefined);
  return response.status;
}

const COUNTS = {
  requests: METRICS.requests.name,
  failures: METRICS.failures.name,
  durations: `${METRICS.duration.name}_count`,
  firstTokens: `${METRICS.timeToFirstToken.name}_count`,
  perToken: `${METRICS.timePerOutputToken.name}_count`,
};
const NOTHING = { requests: 0, failures: 0, durations: 0, firstTokens: 0, perToken: 0 };

async function counts(probe: "true" | "false"): Promise<Record<string, number>> {
  const entries = Object.entries(COUNTS).map(async ([field, name]) => [
    field,
    await metric(gateway.url, name, { probe }),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

const settled = (probe: "true" | "false") =>
  until(async () => (await metric(gateway.url, METRICS.requests.name, { probe })) > 0);

const BREAKS_OFF: FakeReplica["behave"] = (_, response) => {
  beginStream(response);
  response.write(sse(chunk("Hello")), () => response.destroy());
};

describe.each([
  ["a probe's key", PROBE_KEY, "true", "false"],
  ["a client's key", KEY, "false", "true"],
] as const)("a request with %s", (_, key, own, other) => {
  test("counts under its own value of probe only, when it is answered as JSON", async () => {
    expect(await ask(key)).toBe(200);
    await settled(own);
    expect(await counts(own)).toEqual({ ...NOTHING, requests: 1, durations: 1 });
    expect(await counts(other)).toEqual(NOTHING);
  });

  test("counts under its own value of probe only, when it is answered as a stream", async () => {
    expect(await ask(key, STREAM)).toBe(200);
    await settled(own);
    expect(await counts(own)).toEqual({
      requests: 1,
      failures: 0,
      durations: 1,
      firstTokens: 1,
      perToken: 1,
    });
    expect(await counts(other)).toEqual(NOTHING);
  });

  test("counts under its own value of probe only, when the engine fails", async () => {
    replica.behave = (__, response) => sendJson(response, {}, 500);
    expect(await ask(key)).toBeGreaterThanOrEqual(500);
    await settled(own);
    expect(await counts(own)).toEqual({ ...NOTHING, requests: 1, failures: 1, durations: 1 });
    expect(await counts(other)).toEqual(NOTHING);
  });

  test("counts under its own value of probe only, when its stream is cut off", async () => {
    replica.behave = BREAKS_OFF;
    expect(await ask(key, STREAM)).toBe(200);
    await settled(own);
    expect(await counts(own)).toEqual({ ...NOTHING, requests: 1, failures: 1, durations: 1, firstTokens: 1 });
    expect(await counts(other)).toEqual(NOTHING);
  });
});

test("a request that is not authenticated counts as no probe", async () => {
  expect(await ask(UNKNOWN_KEY)).toBe(401);
  await settled("false");
  expect(await counts("false")).toEqual({ ...NOTHING, requests: 1, durations: 1 });
  expect(await counts("true")).toEqual(NOTHING);
});

describe("a model whose flag is off", () => {
  async function listed(key: string): Promise<string[]> {
    const response = await fetch(gateway.url + PATHS.models, { headers: bearer(key) });
    const { data } = (await response.json()) as { data: { id: string }[] };
    return data.map(({ id }) => id);
  }

  async function described(key: string): Promise<number> {
    return (await fetch(`${gateway.url}${PATHS.models}/${BETA}`, { headers: bearer(key) })).status;
  }

  const evaluations = () => metric(gateway.url, METRICS.flagEvaluations.name, { flag: FLAG });

  test("is listed for a probe and not for a client", async () => {
    expect(await listed(PROBE_KEY)).toEqual([MODEL, BETA, EMBEDDER]);
    expect(await evaluations()).toBe(0);
    expect(await listed(KEY)).toEqual([MODEL, EMBEDDER]);
    expect(await evaluations()).toBe(1);
  });

  test("is described to a probe and not to a client", async () => {
    expect(await described(PROBE_KEY)).toBe(200);
    expect(await evaluations()).toBe(0);
    expect(await described(KEY)).toBe(404);
    expect(await evaluations()).toBe(1);
  });

  test.each([false, true])("answers a probe and not a client, when stream is %s", async (stream) => {
    const body = chatBody({ model: BETA, stream });
    expect(await ask(PROBE_KEY, body)).toBe(200);
    expect(await evaluations()).toBe(0);
    expect(await ask(KEY, body)).toBe(404);
    expect(await evaluations()).toBe(1);
    expect(replica.received).toHaveLength(1);
  });
});

describe("the setting probe of a key", () => {
  const probesOf = (...keys: object[]) =>
    testConfig({ replicas: [replica.url], env: { GATEWAY_KEYS: JSON.stringify(keys) } }).keys.map(
      ({ probe }) => probe,
    );

  test("is what it says, and false when it is left out", () => {
    const third = { ...CLIENT, sha256: sha256("third"), probe: false };
    expect(probesOf(CLIENT, PROBE, third)).toEqual([false, true, false]);
  });

  test.each(["true", "false", 1, 0, null, "", {}])("is refused with its field, when it is %j", (probe) => {
    const problems = () => {
      try {
        probesOf(CLIENT, { ...PROBE, probe });
      } catch (error) {
        if (error instanceof ConfigError) return error.problems;
        throw error;
      }
      throw new Error("the configuration was accepted");
    };
    expect(problems()).toEqual([
      {
        field: "GATEWAY_KEYS[1].probe",
        problem: "is neither true nor false",
        remedy: "use one of them without quotes, or leave it out for false",
      },
    ]);
  });
});
