import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PATHS } from "../../../services/gateway/contract.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { batchOptions, send } from "./batch-scene.ts";
import { expectRefusal } from "./fuzz-support.ts";
import { type GatewayProcess, startGatewayProcess } from "./process.ts";
import {
  CHAT_ANSWER,
  chatBody,
  type FakeReplica,
  KEY,
  MODEL,
  post,
  sendJson,
  startReplica,
  until,
} from "./support.ts";

const LIMIT_MS = 120_000;
const SEED = 51_966;
const RUNS = { seed: SEED, numRuns: 150 };

let postgres: StoreProcess;
let replica: FakeReplica;
let gateway: GatewayProcess;

beforeAll(async () => {
  postgres = await startPostgres(POSTGRES_KINDS[0] ?? "embedded");
  replica = await startReplica((_, response) => sendJson(response, CHAT_ANSWER));
  const env = { GATEWAY_LOG_LEVEL: "warn", GATEWAY_REQUEST_TIMEOUT_SECONDS: "5" };
  const options = batchOptions(postgres, replica, {
    env,
    batches: { concurrency: 0, maxTenantBatches: 10_000 },
  });
  gateway = await startGatewayProcess({ ...options, env: { ...options.env, GATEWAY_LOG_LEVEL: "info" } });
  await until(async () => (await send(gateway.url, "GET", "/v1/batches")).status === 200, LIMIT_MS);
}, LIMIT_MS);

afterEach(() => {
  // A step that failed unforeseen is logged as an error.
  expect(gateway.log.filter(({ level }) => Number(level) >= 50 || level === "error")).toEqual([]);
});

afterAll(async () => {
  gateway?.signal("SIGTERM");
  expect(await gateway?.exited).toBe(0);
  await replica?.close();
  await postgres?.stop();
});

async function expectAnswer(path: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const signal = AbortSignal.timeout(30_000);
  const response = await fetch(gateway.url + path, { method: "POST", body, headers, signal });
  const text = await response.text();
  if (response.status !== 200) expectRefusal({ status: response.status, body: text });
  expect((await post(gateway.url)).status).toBe(200);
}

const INFERENCE = [PATHS.chatCompletions, PATHS.completions, PATHS.embeddings];
const path = fc.constantFrom(...INFERENCE, PATHS.batches);

/** Any value where another is expected. */
const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(null, "", 0, -1, 1e308, true, [], {}, "\u0000", "\ud800", "__proto__", "x".repeat(5_000)),
);

/** Requests of which any field may be anything. */
const request = fc.record(
  {
    model: fc.oneof(fc.constant(MODEL), odd),
    messages: fc.oneof(
      fc.constant([{ role: "user", content: "Hi" }]),
      odd,
      fc.array(fc.record({ role: odd, content: odd })),
    ),
    prompt: odd,
    input: odd,
    stream: fc.oneof(fc.boolean(), odd),
    stream_options: fc.oneof(fc.record({ include_usage: odd, continuous_usage_stats: odd }), odd),
    max_tokens: odd,
    n: odd,
    user: odd,
    metadata: odd,
    input_file_id: odd,
    endpoint: odd,
    completion_window: fc.oneof(fc.constant("24h"), odd),
    output_expires_after: odd,
  },
  { requiredKeys: [] },
);

const good = chatBody();
const nested = (depth: number, [open, close]: readonly [string, string]) =>
  open.repeat(depth) + close.repeat(depth);

/** Texts that are nearly JSON, or JSON that few expect. */
const text = fc.oneof(
  fc.nat(good.length).map((length) => good.slice(0, length)),
  fc.tuple(fc.nat(good.length), fc.string()).map(([at, put]) => good.slice(0, at) + put + good.slice(at)),
  fc.constantFrom("", "null", "[]", "{}", "0", '""', "\uFEFF{}", "{,}", "NaN", "1e400", "-", "tru"),
  fc.nat(2_000).map((depth) => nested(depth, ["[", "]"])),
  fc.nat(2_000).map((depth) => nested(depth, ['{"a":', "}"]).replace("}", "1}")),
  fc
    .constantFrom("max_tokens", "model", "stream")
    .map((name) => good.replace("{", `{"${name}":1e999,"${name}":[],`)),
  fc
    .constantFrom("__proto__", "constructor", "toString")
    .map((name) => good.replace("{", `{"${name}":{"stream":true,"isBatch":true},`)),
  fc
    .constantFrom("9".repeat(400), "0.1e-999", "-0", "1E5000")
    .map((figure) => good.replace("{", `{"seed":${figure},`)),
);

describe("bodies that nobody expects", { timeout: LIMIT_MS }, () => {
  test("requests of which any field may be anything: are answered, and so is a good one after", async () => {
    await fc.assert(
      fc.asyncProperty(path, request, (to, body) => expectAnswer(to, JSON.stringify(body))),
      RUNS,
    );
  });

  test("texts that are nearly JSON: are answered, and so is a good one after", async () => {
    await fc.assert(
      fc.asyncProperty(path, text, (to, body) => expectAnswer(to, body)),
      RUNS,
    );
  });

  test("bytes that are no text: are answered, and so is a good one after", async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat(good.length), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([at, put]) => {
        const whole = Buffer.from(good);
        return new Uint8Array(Buffer.concat([whole.subarray(0, at), put, whole.subarray(at)]));
      }),
    );
    await fc.assert(
      fc.asyncProperty(path, bytes, (to, body) => expectAnswer(to, new Uint8Array(body))),
      RUNS,
    );
  });

  test.each([
    ["in a field that is left alone", (deep: string) => good.replace("{", `{"metadata":${deep},`)],
    [
      "in the options of a stream",
      (deep: string) => good.replace("{", `{"stream":true,"stream_options":{"a":${deep}},`),
    ],
    ["in a message", (deep: string) => good.replace('"Hi"', deep)],
    ["as the whole body", (deep: string) => deep],
  ])("nesting of 200,000 levels %s: is answered", async (_, toBody) => {
    await expectAnswer(PATHS.chatCompletions, toBody(nested(200_000, ["[", "]"])));
  });

  test("what a body says of a prototype changes no other request", async () => {
    await expectAnswer(PATHS.chatCompletions, good.replace("{", '{"__proto__":{"stream":true},'));
    const response = await post(gateway.url);
    expect(response.headers.get("content-type")).toBe("application/json");
  });
});

const BOUNDARY = "the-boundary";
const part = fc.oneof(
  fc.constantFrom(
    'content-disposition: form-data; name="purpose"\r\n\r\nbatch',
    'content-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}',
    'content-disposition: form-data; name="file"\r\n\r\n{}',
    'content-disposition: form-data; name="x"; filename="b"\r\n\r\n{}',
    'content-disposition: form-data; name="__proto__"\r\n\r\nx',
    "content-disposition: form-data\r\n\r\nx",
    'content-disposition: attachment; name="file"\r\n\r\nx',
    "\r\n\r\n",
    "no header at all",
    `x: ${"y".repeat(100_000)}\r\n\r\nx`,
    `${"a: b\r\n".repeat(3_000)}\r\nx`,
    'content-disposition: form-data; name="file"; filename="\u0000\u0001..\\..\\x"\r\n\r\nx',
    "content-disposition: form-data; name*=utf-8''%ff%fe; filename*=bad''%\r\n\r\nx",
    'content-type: application/octet-stream; charset=nonsense\r\ncontent-disposition: form-data; name="file"\r\n\r\nx',
  ),
  fc.string({ maxLength: 60 }),
);
const form = fc
  .tuple(fc.array(part, { maxLength: 25 }), fc.constantFrom("--", "", "-", "--\r\nepilogue", "garbage"))
  .map(([parts, end]) => `${parts.map((one) => `--${BOUNDARY}\r\n${one}\r\n`).join("")}--${BOUNDARY}${end}`);
const contentType = fc.oneof(
  { weight: 8, arbitrary: fc.constant(`multipart/form-data; boundary=${BOUNDARY}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "multipart/form-data",
      "multipart/form-data; boundary=",
      `multipart/form-data; boundary="${BOUNDARY}`,
      `multipart/form-data; boundary=${"b".repeat(3_000)}`,
      "multipart/mixed; boundary=x",
      "multipart/form-data; boundary*=utf-8''%ff",
    ),
  },
);

describe("forms that nobody expects", { timeout: LIMIT_MS }, () => {
  test("of any parts, cut anywhere: are answered, and so is a good request after", async () => {
    await fc.assert(
      fc.asyncProperty(
        contentType,
        form,
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (type, body, share) => {
          const sent = share > 0.5 ? body : body.slice(0, Math.floor(body.length * share * 2));
          const headers = { authorization: `Bearer ${KEY}`, "content-type": type };
          const signal = AbortSignal.timeout(30_000);
          const response = await fetch(gateway.url + PATHS.files, {
            method: "POST",
            headers,
            body: sent,
            signal,
          });
          const answer = await response.text();
          if (response.status !== 200) expectRefusal({ status: response.status, body: answer });
          expect((await post(gateway.url)).status).toBe(200);
        },
      ),
      RUNS,
    );
  });
});
