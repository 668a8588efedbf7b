import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { answersIn, expectRefusal, sendRaw } from "./fuzz-support.ts";
import { type GatewayProcess, startGatewayProcess } from "./process.ts";
import {
  CHAT_ANSWER,
  chatBody,
  type FakeReplica,
  KEY,
  post,
  sendJson,
  startReplica,
  until,
} from "./support.ts";

const LIMIT_MS = 120_000;
const RUNS = { seed: 57_005, numRuns: 120 };
const SMUGGLED = "/v1/completions";
const BODY = chatBody();

let replica: FakeReplica;
let gateway: GatewayProcess;

beforeAll(async () => {
  replica = await startReplica((_, response) => sendJson(response, CHAT_ANSWER));
  const env = { GATEWAY_REQUEST_TIMEOUT_SECONDS: "2" };
  gateway = await startGatewayProcess({ replicas: [replica.url], env });
  await until(async () => (await post(gateway.url)).status === 200, LIMIT_MS);
}, LIMIT_MS);

afterEach(() => {
  expect(gateway.log.filter(({ level }) => Number(level) >= 50 || level === "error")).toEqual([]);
});

afterAll(async () => {
  gateway?.signal("SIGTERM");
  expect(await gateway?.exited).toBe(0);
  await replica?.close();
});

/** Sends one request; gives its answers, of which each that is no success is a proper refusal. */
async function exchange(bytes: Buffer | string): Promise<number[]> {
  const answers = answersIn(await sendRaw(Number(new URL(gateway.url).port), bytes));
  for (const answer of answers) if (answer.status !== 200) expectRefusal(answer);
  expect((await post(gateway.url)).status).toBe(200);
  return answers.map(({ status }) => status);
}

interface Request {
  readonly path?: string;
  readonly lines?: readonly string[];
  readonly body?: string;
}

function toBytes({ path = "/v1/chat/completions", lines = [], body = BODY }: Request): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    ...(lines.includes("x-host: gateway") ? [] : ["host: gateway"]),
    `authorization: Bearer ${KEY}`,
    "content-type: application/json",
    ...lines,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`, "latin1");
}

const length = `content-length: ${Buffer.byteLength(BODY)}`;
const character = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const junk = fc.string({ unit: character, maxLength: 40 });
const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/);

describe("headers that nobody expects", { timeout: LIMIT_MS }, () => {
  test("of any bytes: are answered or cut off, and a good request after is answered", async () => {
    const name = fc.oneof(
      token,
      fc.constantFrom(
        "authorization",
        "content-type",
        "x-request-id",
        "x-user-id",
        "expect",
        "connection",
        "upgrade",
        "__proto__",
      ),
      junk,
    );
    const lines = fc.array(
      fc.tuple(name, junk).map(([key, value]) => `${key}: ${value}`),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(lines, async (odd) => void (await exchange(toBytes({ lines: [length, ...odd] })))),
      RUNS,
    );
  });

  test.each([
    ["a folded line", ["x-folded: a", " b"]],
    ["a name with a space", ["x bad: a"]],
    ["a line without a colon", ["nothing"]],
    ["a zero byte", ["x-zero: a\0b"]],
    ["a bare line feed", ["x-feed: a\nx-injected: b"]],
    ["a thousand lines", Array.from({ length: 1_000 }, (_, index) => `x-${index}: y`)],
    ["40,000 bytes in one line", [`x-long: ${"y".repeat(40_000)}`]],
    ["two authorizations", ["authorization: Bearer no"]],
    ["an expectation that nobody fulfils", ["expect: the-impossible"]],
    ["no host", ["x-host: gateway"]],
    ["an upgrade", ["connection: upgrade", "upgrade: websocket"]],
  ])("%s: is answered or cut off", async (_, lines) => {
    const statuses = await exchange(toBytes({ lines: [length, ...lines] }));
    expect(statuses.length).toBeLessThanOrEqual(1);
  });
});

describe("bodies whose end is told in two ways, or wrongly", { timeout: LIMIT_MS }, () => {
  const smuggled = `POST ${SMUGGLED} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`;
  const whole = `${Buffer.byteLength(BODY).toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;

  test.each([
    ["both length and chunks", [length, "transfer-encoding: chunked"], whole],
    ["chunks and a length of nothing", ["transfer-encoding: chunked", "content-length: 0"], whole],
    ["two lengths", ["content-length: 0", length], BODY],
    ["one length twice in a line", ["content-length: 5, 5"], BODY],
    ["a length that is negative", ["content-length: -1"], BODY],
    ["a length with a sign", ["content-length: +5"], BODY],
    ["a length in hexadecimal", ["content-length: 0x10"], BODY],
    ["a length beyond all numbers", [`content-length: ${"9".repeat(40)}`], BODY],
    ["an encoding that is nearly chunks", ["transfer-encoding: xchunked"], whole],
    ["chunks before another encoding", ["transfer-encoding: chunked, identity"], whole],
    ["chunks twice", ["transfer-encoding: chunked", "transfer-encoding: chunked"], whole],
    ["a folded encoding", ["transfer-encoding:", " chunked"], whole],
    ["a space before the colon", ["transfer-encoding : chunked"], whole],
    ["a chunk's length that is none", ["transfer-encoding: chunked"], `zz\r\n${BODY}\r\n0\r\n\r\n`],
    ["a chunk's length beyond all numbers", ["transfer-encoding: chunked"], `${"f".repeat(20)}\r\n${BODY}`],
    ["a chunk that ends with a line feed alone", ["transfer-encoding: chunked"], `1\n{\n0\n\n`],
  ])("%s: one request is answered at most, and none is smuggled in", async (_, lines, body) => {
    const before = replica.received.length;
    const statuses = await exchange(toBytes({ lines, body: body + smuggled }));
    // What follows a whole request is one of its own only where the end of the first one is beyond doubt.
    const seen = replica.received.slice(before).map(({ path }) => path);
    expect(seen).not.toContain(SMUGGLED);
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(1);
  });

  test("chunks of any lengths, cut anywhere: are answered or cut off", async () => {
    const sizes = fc.array(
      fc.tuple(
        fc.oneof(
          fc.nat(40).map((size) => size.toString(16)),
          junk,
        ),
        junk,
      ),
      { maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(sizes, async (chunks) => {
        const body = chunks.map(([size, data]) => `${size}\r\n${data}\r\n`).join("");
        await exchange(toBytes({ lines: ["transfer-encoding: chunked"], body: `${body}0\r\n\r\n` }));
      }),
      RUNS,
    );
  });
});

describe("requests that are none", { timeout: LIMIT_MS }, () => {
  test("of any bytes, or a good one with any byte changed: are answered or cut off", async () => {
    const good = toBytes({ lines: [length] });
    const changed = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })).map(([at, byte]) => {
      const copy = Buffer.from(good);
      copy[at] = byte;
      return copy;
    });
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    await fc.assert(
      fc.asyncProperty(fc.oneof(changed, bytes), async (request) => void (await exchange(request))),
      RUNS,
    );
  });

  test("paths of any characters: are refused as the API does, or cut off", async () => {
    const text = fc.oneof(
      fc.string({ unit: character, maxLength: 60 }).map((path) => path.replaceAll(/[\s\0]/g, "%20")),
      fc.webPath(),
      fc.constantFrom(
        "/v1/files/%00",
        "/v1/models/%",
        "/v1/models/%ff",
        "//v1/models",
        "/v1/../metrics",
        "*",
        "http://other/v1/models",
        "/v1/models/__proto__",
        "/admin/v1/%2e%2e",
        `/v1/${"a/".repeat(2_000)}`,
      ),
    );
    await fc.assert(
      fc.asyncProperty(text, async (path) => void (await exchange(toBytes({ path, lines: [length] })))),
      RUNS,
    );
  });
});
