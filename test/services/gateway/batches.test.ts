import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { batchWhen, line, linesOf, startBatch, startBatchGateway } from "./batch-scene.ts";
import { type FakeReplica, startReplica } from "./support.ts";

describe.each(POSTGRES_KINDS)("batches, with %s PostgreSQL", (kind) => {
  let postgres: StoreProcess;
  let replica: FakeReplica;
  let gateway: RunningGateway;

  beforeAll(async () => {
    postgres = await startPostgres(kind);
    replica = await startReplica();
    gateway = await startBatchGateway(postgres, replica);
  }, 60_000);

  afterAll(async () => {
    await gateway?.close();
    await replica?.close();
    await postgres?.stop();
  });

  test("a batch of good lines: completes with one answer for each", async () => {
    const ids = Array.from({ length: 30 }, (_, index) => `request-${index}`);
    const batch = await startBatch(
      gateway.url,
      ids.map((id) => line(id)),
    );
    expect(batch).toMatchObject({ object: "batch", status: "validating", endpoint: "/v1/chat/completions" });
    const done = await batchWhen(gateway.url, batch.id, "completed");
    expect(done.request_counts).toEqual({ total: 30, completed: 30, failed: 0 });
    expect(done.error_file_id).toBeNull();
    const lines = await linesOf(gateway.url, done.output_file_id);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(ids);
    expect(lines[0]).toMatchObject({
      response: { status_code: 200, body: { object: "chat.completion" } },
      error: null,
    });
  });
});
