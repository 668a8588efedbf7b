import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startGatewayProcess } from "./process.ts";
import {
  answerChat,
  chatBody,
  type FakeReplica,
  KEY,
  MODEL,
  metric,
  post,
  startReplica,
  startTestGateway,
  until,
} from "./support.ts";

const REQUESTS = 5_000;
const BODY_BYTES = 100_000;
const MEBIBYTE = 1_048_576;
const WORK_MS = 20;

let replica: FakeReplica;

beforeEach(async () => {
  replica = await startReplica(async (received, response) => {
    // Bodies are not kept: the test's own memory is not what is measured.
    replica.received.length = 0;
    await wait(WORK_MS);
    await answerChat(received, response);
  });
});
afterEach(() => replica.close());

/** One answer: its status and what it says about a repetition. */
function ask(
  url: string,
  agent: Agent,
  body: Buffer,
): Promise<{ status: number; retryAfter: string | undefined }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    retryAfter: string | undefined;
  }>();
  const headers = {
    authorization: `Bearer ${KEY}`,
    "content-type": "application/json",
    "content-length": body.length,
  };
  const call = request(`${url}/v1/chat/completions`, { method: "POST", agent, headers }, (response) => {
    response.resume();
    response.once("end", () =>
      resolve({ status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"] }),
    );
  });
  call.once("error", reject);
  call.end(body);
  return promise;
}

describe("A gateway that gets more bytes at once than it may hold, when another body arrives", () => {
  it("then that one is refused, those before it go on, and its share is free again after", async () => {
    const gateway = await startTestGateway({
      replicas: [replica.url],
      settings: { queue: { maxArrivingBytes: BODY_BYTES } },
    });
    const body = Buffer.from(chatBody({ user: "x".repeat(BODY_BYTES - 10_000) }));
    const headers = {
      authorization: `Bearer ${KEY}`,
      "content-type": "application/json",
      "content-length": body.length,
    };
    const slow = request(`${gateway.url}/v1/chat/completions`, { method: "POST", headers });
    const answered = once(slow, "response");
    slow.write(body.subarray(0, body.length - 1));
    await until(async () => (await post(gateway.url, { body: body.toString() })).status === 503);
    slow.end(body.subarray(body.length - 1));
    const [answer] = (await answered) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(200);
    expect((await post(gateway.url, { body: body.toString() })).status).toBe(200);
    const left = request(`${gateway.url}/v1/chat/completions`, { method: "POST", headers });
    left.once("error", () => {});
    left.write(body.subarray(0, body.length - 1));
    await until(async () => (await post(gateway.url, { body: body.toString() })).status === 503);
    left.destroy();
    await until(async () => (await post(gateway.url, { body: body.toString() })).status === 200);
    await gateway.close();
  });
});

describe("A gateway before a slow replica, when 5,000 requests of 100 kB come at once", () => {
  it("then each is answered 200, 429 or 503, and memory stays bounded", async () => {
    const gateway = await startGatewayProcess({
      replicas: [replica.url],
      settings: {
        queue: {
          perReplica: 4,
          length: 200,
          maxBytes: 8 * MEBIBYTE,
          maxArrivingBytes: 32 * MEBIBYTE,
          maxWaitSeconds: 2,
        },
      },
      env: { GATEWAY_REQUEST_TIMEOUT_SECONDS: "120" },
    });
    await until(async () => (await metric(gateway.url, "gateway_replicas_healthy", { model: MODEL })) === 1);
    const memory = () => metric(gateway.url, "process_resident_memory_bytes", {});
    const idle = await memory();
    const agent = new Agent({ maxSockets: REQUESTS });
    const body = Buffer.from(chatBody({ user: "x".repeat(BODY_BYTES) }));
    let most = 0;
    let over = false;
    const watching = (async () => {
      while (!over) {
        most = Math.max(most, await memory());
        await wait(50);
      }
    })();
    const answers = await Promise.all(Array.from({ length: REQUESTS }, () => ask(gateway.url, agent, body)));
    over = true;
    await watching;
    const counts = new Map<number, number>();
    for (const { status, retryAfter } of answers) {
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (status !== 200) expect(Number(retryAfter)).toBeGreaterThanOrEqual(1);
    }
    // All bodies together are 477 MiB, each of which would be held twice: as bytes and as what they say.
    expect(most - idle).toBeLessThan(350 * MEBIBYTE);
    expect([...counts.keys()].filter((status) => ![200, 429, 503].includes(status))).toEqual([]);
    expect(counts.get(200)).toBeGreaterThan(0);
    gateway.signal("SIGTERM");
    expect(await gateway.exited).toBe(0);
  }, 240_000);
});
