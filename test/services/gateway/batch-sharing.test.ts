import { randomBytes } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Storage } from "../../../services/gateway/batches/database.ts";
import { WorkStore } from "../../../services/gateway/batches/work-store.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import {
  type BatchGatewayOptions,
  batchOf,
  batchOptions,
  batchWhen,
  line,
  linesOf,
  OTHER_KEY,
  query,
  send,
  startBatch,
  startBatchGateway,
} from "./batch-scene.ts";
import { journalLines, temporaryFolder } from "./cost-support.ts";
import { startGatewayProcess } from "./process.ts";
import { answerChat, type FakeReplica, KEY, sha256, startReplica, until } from "./support.ts";
import { startRelay } from "./tenancy-relay.ts";

const LIMIT_MS = 150_000;
const LINE_ID = /batch_[0-9a-f]{32}-(\d+)/;

/** How often each line of batches came to the model. */
function attempts(replica: FakeReplica): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { headers } of replica.received) {
    const id = LINE_ID.exec(String(headers["x-request-id"]))?.[0] ?? "none";
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

function lines(count: number): string[] {
  return Array.from({ length: count }, (_, index) => line(`request-${index}`));
}

describe.each(POSTGRES_KINDS)("the work of batches, shared over %s PostgreSQL", (kind) => {
  let postgres: StoreProcess;
  let replica: FakeReplica;
  const running = new Set<RunningGateway>();

  beforeAll(async () => {
    postgres = await startPostgres(kind);
    replica = await startReplica();
  }, LIMIT_MS);

  beforeEach(() => {
    replica.received.length = 0;
    replica.behave = answerChat;
  });

  afterEach(async () => {
    await Promise.all([...running].map((gateway) => gateway.close()));
    running.clear();
  });

  afterAll(async () => {
    await replica?.close();
    await postgres?.stop();
  });

  async function start(options: BatchGatewayOptions = {}): Promise<RunningGateway> {
    const gateway = await startBatchGateway(postgres, replica, options);
    running.add(gateway);
    return gateway;
  }

  async function checkComplete(url: string, id: string, count: number): Promise<void> {
    const done = await batchWhen(url, id, "completed");
    expect(done.request_counts).toEqual({ total: count, completed: count, failed: 0 });
    const results = await linesOf(url, done.output_file_id);
    const ids = Array.from({ length: count }, (_, index) => `request-${index}`);
    expect(results.map(({ custom_id }) => custom_id)).toEqual(ids);
  }

  test("three gateways: every line comes to the model once", { timeout: LIMIT_MS }, async () => {
    const gateways = [await start(), await start(), await start()];
    const [first] = gateways;
    const batches = await Promise.all(gateways.map(({ url }) => startBatch(url, lines(60))));
    for (const { id } of batches) await checkComplete(first?.url ?? "", id, 60);
    const counts = attempts(replica);
    expect(counts.size).toBe(180);
    expect(Math.max(...counts.values())).toBe(1);
  });

  test("a gateway that is killed: others take up its lines, and each has one result", {
    timeout: LIMIT_MS,
  }, async () => {
    const steady = await start({ batches: { concurrency: 0 } });
    const batches = { leaseSeconds: 2, pollMs: 50 };
    const journal = temporaryFolder();
    const env = { GATEWAY_JOURNAL_DIR: journal.path };
    const doomed = await startGatewayProcess(batchOptions(postgres, replica, { batches, env }));
    let answered = 0;
    replica.behave = (request, response) => {
      answered += 1;
      return answered <= 10 ? answerChat(request, response) : request.aborted.then(() => undefined);
    };
    const batch = await startBatch(steady.url, lines(40));
    await until(() => replica.received.length > 12, LIMIT_MS);
    const billed =
      "select count(*)::int, count(distinct request_id)::int as lines from usage where request_id like $1 and status = 200";
    // What was settled right before a SIGKILL may not be in the journal's file yet.
    await until(async () => {
      const [{ lines: stored = 0 } = {}] = await query(postgres, billed, [`${batch.id}-%`]).catch(() => []);
      return stored + journalLines(journal.path).length >= 10;
    });
    doomed.signal("SIGKILL");
    await doomed.exited;
    replica.behave = answerChat;
    await start({ batches, env });
    await checkComplete(steady.url, batch.id, 40);
    // Each line is billed once, under its own id.
    await until(async () => (await query(postgres, billed, [`${batch.id}-%`]))[0]?.lines === 40);
    expect(await query(postgres, billed, [`${batch.id}-%`])).toEqual([{ count: 40, lines: 40 }]);
    journal.remove();
    // What was under way is asked for again, and nothing else.
    const again = [...attempts(replica).values()].filter((count) => count > 1);
    expect(again.length).toBeLessThanOrEqual(8);
  });

  test("a gateway that dies when a line is answered and not stored: the line is billed once", {
    timeout: LIMIT_MS,
  }, async () => {
    const steady = await start({ batches: { concurrency: 0 } });
    const relay = await startRelay(postgres.url);
    const journal = temporaryFolder();
    const batches = { leaseSeconds: 2, pollMs: 50 };
    const env = { GATEWAY_JOURNAL_DIR: journal.path };
    const doomed = await startGatewayProcess(
      batchOptions(postgres, replica, { batches, env: { ...env, GATEWAY_DATABASE_URL: relay.url } }),
    );
    replica.behave = (request, response) => {
      relay.cut();
      return answerChat(request, response);
    };
    const batch = await startBatch(steady.url, lines(1));
    await until(() => journalLines(journal.path).length === 1, LIMIT_MS);
    doomed.signal("SIGKILL");
    await doomed.exited;
    replica.behave = answerChat;
    await start({ batches, env });
    await checkComplete(steady.url, batch.id, 1);
    await until(() => journalLines(journal.path).length === 0, LIMIT_MS);
    expect(replica.received).toHaveLength(2);
    const billed = "select 1 from usage where request_id like $1";
    await until(async () => (await query(postgres, billed, [`${batch.id}-%`])).length > 0);
    expect(await query(postgres, billed, [`${batch.id}-%`])).toHaveLength(1);
    await relay.close();
    journal.remove();
  });

  test("a gateway that ends: gives its lines back at once", { timeout: LIMIT_MS }, async () => {
    const steady = await start({ batches: { concurrency: 0 } });
    const batches = { leaseSeconds: 3_600 };
    const ending = await start({ batches, env: { GATEWAY_DRAIN_SECONDS: "0.2" } });
    replica.behave = ({ aborted }) => aborted.then(() => undefined);
    const batch = await startBatch(steady.url, lines(20));
    await until(() => replica.received.length >= 8);
    await ending.close();
    running.delete(ending);
    replica.behave = answerChat;
    await start({ batches });
    await checkComplete(steady.url, batch.id, 20);
  });

  test("a gateway that ends while lines run: lets them finish first", { timeout: LIMIT_MS }, async () => {
    const steady = await start({ batches: { concurrency: 0 } });
    const ending = await start({ batches: { leaseSeconds: 3_600 }, env: { GATEWAY_DRAIN_SECONDS: "20" } });
    const release = Promise.withResolvers<void>();
    replica.behave = async (request, response) => {
      await release.promise;
      await answerChat(request, response);
    };
    const batch = await startBatch(steady.url, lines(20));
    await until(() => replica.received.length === 8);
    const closed = ending.close();
    await wait(100);
    release.resolve();
    await closed;
    running.delete(ending);
    expect((await batchOf(steady.url, batch.id)).request_counts.completed).toBe(8);
    expect(replica.received).toHaveLength(8);
  });

  test("a database that falls silent and comes back: the batch completes", {
    timeout: LIMIT_MS,
  }, async () => {
    const gateway = await start({ batches: { leaseSeconds: 3 } });
    replica.behave = async (request, response) => {
      await wait(30);
      await answerChat(request, response);
    };
    const batch = await startBatch(gateway.url, lines(40));
    await until(() => replica.received.length > 8);
    postgres.pause();
    await wait(4_000);
    postgres.resume();
    await until(async () => (await send(gateway.url, "GET", "/v1/batches")).status === 200, LIMIT_MS);
    await checkComplete(gateway.url, batch.id, 40);
  });

  test("a key that is gone: its batch stops and says so, others go on", { timeout: LIMIT_MS }, async () => {
    const steady = await start({ batches: { concurrency: 0 } });
    const [mine, theirs] = [
      await startBatch(steady.url, lines(3)),
      await startBatch(steady.url, lines(3), OTHER_KEY),
    ];
    const onlyOther = JSON.stringify([{ id: "key-2", sha256: sha256(OTHER_KEY), tenant: "globex" }]);
    const moved = JSON.stringify([
      { id: "key-1", sha256: sha256(KEY), tenant: "globex" },
      ...JSON.parse(onlyOther),
    ]);
    await start({ env: { GATEWAY_KEYS: moved } }).catch(() => undefined);
    const failed = await batchWhen(steady.url, mine.id, "failed");
    expect(failed.errors?.data).toMatchObject([{ code: "key_not_valid" }]);
    expect(failed.request_counts).toEqual({ total: 3, completed: 0, failed: 3 });
    await until(
      async () => (await batchOf(steady.url, theirs.id, OTHER_KEY)).status === "completed",
      LIMIT_MS,
    );
  });

  test.each([
    ["the permission", { permissions: ["*:files", "*:batches"] }],
    ["the model", { models: ["embed*"] }],
  ])(
    "a key that has lost %s: its lines are refused, and no model is asked",
    {
      timeout: LIMIT_MS,
    },
    async (_, lost) => {
      const steady = await start({ batches: { concurrency: 0 } });
      const batch = await startBatch(steady.url, lines(2));
      const key = { id: "key-1", sha256: sha256(KEY), tenant: "acme", ...lost };
      await start({ env: { GATEWAY_KEYS: JSON.stringify([key]) } });
      const done = await batchWhen(steady.url, batch.id, "completed");
      expect(done.request_counts).toEqual({ total: 2, completed: 0, failed: 2 });
      const errors = await linesOf(steady.url, done.error_file_id);
      expect(errors.map(({ response }) => response?.status_code)).toEqual([403, 403]);
      expect(replica.received).toHaveLength(0);
    },
  );

  test("a line that two workers finish, for the first one's lease was over: has the result that came first", {
    timeout: LIMIT_MS,
  }, async () => {
    const { url } = await start({ batches: { concurrency: 0 } });
    const storage = new Storage(postgres.url, { isReady: true });
    const [late, prompt] = [new WorkStore(storage, "late"), new WorkStore(storage, "prompt")];
    const { id } = await startBatch(url, lines(2));
    expect((await late.claimBatch(60))?.id).toBe(id);
    await late.addLines(
      id,
      [1, 2].map((number) => ({ number, request: Buffer.from("sealed") })),
    );
    await late.start(id, 2);
    expect((await late.claimLines(2, 0))?.lines).toHaveLength(2);
    expect((await prompt.claimLines(2, 60))?.lines).toHaveLength(2);
    expect(await prompt.finishLine(id, 1, { failed: false, response: Buffer.from("first") })).toBe(true);
    expect(await late.finishLine(id, 1, { failed: true, response: Buffer.from("second") })).toBe(false);
    expect((await batchOf(url, id)).request_counts).toEqual({ total: 2, completed: 1, failed: 0 });
    const [line] = await prompt.readLines(id, { failed: false, after: 0, limit: 1 });
    expect(line?.response?.toString()).toBe("first");
    await query(postgres, "update gateway_batch set finished = true, status = 'failed' where id = $1", [id]);
    await storage.close();
  });

  test("a batch that is cancelled while the model answers: that line was not run, in counts and files", {
    timeout: LIMIT_MS,
  }, async () => {
    // It looks for cancelled batches rarely: the answer comes first.
    const { url } = await start({ batches: { pollMs: 1_000 } });
    const cancel = `update gateway_batch set status = 'cancelling', cancelling_at = now(), outcome = 'cancelled'
      where id = $1 and outcome is null`;
    let batch = "";
    replica.behave = async (request, response) => {
      await query(postgres, cancel, [batch]);
      await answerChat(request, response);
    };
    batch = (await startBatch(url, lines(1))).id;
    const cancelled = await batchWhen(url, batch, "cancelled");
    expect(replica.received).toHaveLength(1);
    expect(cancelled.request_counts).toEqual({ total: 1, completed: 0, failed: 1 });
    expect(cancelled.output_file_id).toBeNull();
    const errors = await linesOf(url, cancelled.error_file_id);
    expect(errors).toMatchObject([{ response: null, error: { code: "batch_cancelled" } }]);
  });

  test("a gateway without the content key: leaves the batch to one that has it", {
    timeout: LIMIT_MS,
  }, async () => {
    const steady = await start({ batches: { concurrency: 0 } });
    const keys = JSON.stringify([{ id: "other", key: randomBytes(32).toString("base64") }]);
    await start({ env: { GATEWAY_CONTENT_KEYS: keys } });
    const batch = await startBatch(steady.url, lines(2));
    const held = "select 1 from gateway_batch where id = $1 and not_before is not null";
    await until(async () => (await query(postgres, held, [batch.id])).length > 0);
    expect((await batchOf(steady.url, batch.id)).status).toBe("validating");
    await query(postgres, "update gateway_batch set not_before = null where id = $1", [batch.id]);
    await start();
    await until(async () => {
      await query(postgres, "update gateway_batch set not_before = null where id = $1", [batch.id]);
      return (await batchOf(steady.url, batch.id)).status === "completed";
    }, LIMIT_MS);
  });
});
