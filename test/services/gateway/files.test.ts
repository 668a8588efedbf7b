import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Storage } from "../../../services/gateway/batches/database.ts";
import { SweepStore } from "../../../services/gateway/batches/sweep-store.ts";
import { Envelope } from "../../../services/gateway/content/envelope.ts";
import { LocalKeyWrapper } from "../../../services/gateway/content/local-keys.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { POSTGRES_KINDS, type StoreProcess, startPostgres } from "../stores.ts";
import { CONTENT_KEY, line, OTHER_KEY, query, send, startBatchGateway, upload } from "./batch-scene.ts";
import { errorOf, type FakeReplica, KEY, startReplica, startTestGateway, until } from "./support.ts";

const LIMIT_MS = 120_000;
const CHUNK = 256 * 1024;

interface FileObject {
  readonly id: string;
  readonly bytes: number;
  readonly expires_at: number;
  readonly created_at: number;
}

let postgres: StoreProcess;
let replica: FakeReplica;
let gateway: RunningGateway;

beforeAll(async () => {
  postgres = await startPostgres(POSTGRES_KINDS[0] ?? "embedded");
  replica = await startReplica();
  const batches = { maxFileBytes: 4 * CHUNK, maxTenantBytes: 5 * CHUNK, maxTenantFiles: 4, concurrency: 0 };
  gateway = await startBatchGateway(postgres, replica, { batches });
}, LIMIT_MS);

afterEach(async () => {
  await query(postgres, "delete from gateway_file");
});

afterAll(async () => {
  await gateway?.close();
  await replica?.close();
  await postgres?.stop();
});

async function created(content: string | Uint8Array<ArrayBuffer>, key = KEY): Promise<FileObject> {
  const response = await upload(gateway.url, { content, key });
  expect(response.status).toBe(200);
  return (await response.json()) as FileObject;
}

function contentOf(id: string, key = KEY): Promise<Response> {
  return send(gateway.url, "GET", `/v1/files/${id}/content`, { key });
}

function sweepStore(...keys: { id: string; key: string }[]): { store: SweepStore; close(): Promise<void> } {
  const storage = new Storage(postgres.url, { isReady: true });
  return {
    store: new SweepStore(storage, new Envelope(new LocalKeyWrapper(keys))),
    close: () => storage.close(),
  };
}

describe("a file that is uploaded", () => {
  test.each([1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 4 * CHUNK])(
    "of %d bytes: is read again byte for byte",
    async (size) => {
      const content = new Uint8Array(randomBytes(size));
      const file = await created(content);
      expect(file).toMatchObject({ object: "file", bytes: size, purpose: "batch", filename: "input.jsonl" });
      const response = await contentOf(file.id);
      expect(response.headers.get("content-length")).toBe(String(size));
      expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    },
  );

  test("is nowhere in the database as it was", async () => {
    await created(`${line("a")}\n`.repeat(2_000));
    const [{ chunks, plain }] = (await query(
      postgres,
      "select count(*)::int as chunks, count(*) filter (where position('custom_id'::bytea in data) > 0)::int as plain from gateway_file_chunk",
    )) as [{ chunks: number; plain: number }];
    expect(chunks).toBeGreaterThan(1);
    expect(plain).toBe(0);
  });

  test("is described, listed by pages, and gone once it is deleted", async () => {
    const ids = [await created("1"), await created("2"), await created("3")].map(({ id }) => id).toReversed();
    expect(await (await send(gateway.url, "GET", `/v1/files/${ids[0]}`)).json()).toMatchObject({
      id: ids[0],
    });
    const list = async (path: string) =>
      (await (await send(gateway.url, "GET", path)).json()) as { data: FileObject[]; has_more: boolean };
    const first = await list("/v1/files?limit=2&purpose=batch");
    expect([first.data.map(({ id }) => id), first.has_more]).toEqual([ids.slice(0, 2), true]);
    expect((await list(`/v1/files?after=${ids[1]}`)).data.map(({ id }) => id)).toEqual(ids.slice(2));
    expect((await list("/v1/files?purpose=batch_output")).data).toEqual([]);
    const deleted = await send(gateway.url, "DELETE", `/v1/files/${ids[0]}`);
    expect(await deleted.json()).toEqual({ id: ids[0], object: "file", deleted: true });
    for (const [method, path] of [
      ["GET", ids[0]],
      ["GET", `${ids[0]}/content`],
      ["DELETE", ids[0]],
    ]) {
      expect((await send(gateway.url, method ?? "", `/v1/files/${path}`)).status).toBe(404);
    }
  });

  test("goes when it has expired, or as the tenant's files may", async () => {
    const asked = {
      purpose: "batch",
      "expires_after[anchor]": "created_at",
      "expires_after[seconds]": "3600",
    };
    const file = (await (await upload(gateway.url, { content: "x", fields: asked })).json()) as FileObject;
    expect(file.expires_at - file.created_at).toBe(3_600);
    const usual = await created("x");
    expect(usual.expires_at - usual.created_at).toBe(30 * 86_400);
    await query(postgres, "update gateway_file set expires_at = now() where id = $1", [file.id]);
    expect((await contentOf(file.id)).status).toBe(404);
  });
});

describe("an upload that is refused", () => {
  const good = { purpose: "batch" };
  test.each([
    ["another purpose", { purpose: "fine-tune" }, "x", 400, "purpose"],
    ["no purpose", {}, "x", 400, "purpose"],
    ["an empty file", good, "", 400, "file"],
    ["more bytes than permitted", good, "x".repeat(4 * CHUNK + 1), 413, "file"],
    [
      "an expiry without its anchor",
      { ...good, "expires_after[seconds]": "3600" },
      "x",
      400,
      "expires_after[anchor]",
    ],
    [
      "an expiry that is no number",
      { ...good, "expires_after[anchor]": "created_at", "expires_after[seconds]": "x" },
      "x",
      400,
      "expires_after[seconds]",
    ],
  ])("%s: says why by name, and keeps nothing", async (_, fields, content, status, param) => {
    const response = await upload(gateway.url, { content, fields });
    expect(await errorOf(response)).toMatchObject({ status, param });
    expect(await query(postgres, "select 1 from gateway_file where state <> 'deleted'")).toEqual([]);
  });

  test("more bytes or files than the tenant may keep: the others' are not concerned", async () => {
    await created("x".repeat(3 * CHUNK));
    const tooMuch = await upload(gateway.url, { content: "x".repeat(3 * CHUNK) });
    expect(await errorOf(tooMuch)).toMatchObject({ status: 413, param: "file" });
    await created("x".repeat(3 * CHUNK), OTHER_KEY);
    for (let count = 0; count < 3; count += 1) await created("x");
    expect(await errorOf(await upload(gateway.url, { content: "x" }))).toMatchObject({
      status: 400,
      param: "file",
    });
  });

  test("what is no form, has no file, or two of them: 400", async () => {
    const authorization = `Bearer ${KEY}`;
    const json = await send(gateway.url, "POST", "/v1/files", { body: {} });
    expect(await errorOf(json)).toMatchObject({ status: 400, code: "invalid_request" });
    const form = new FormData();
    form.set("purpose", "batch");
    const empty = await fetch(`${gateway.url}/v1/files`, {
      method: "POST",
      headers: { authorization },
      body: form,
    });
    expect(await errorOf(empty)).toMatchObject({ status: 400, param: "file" });
    for (const name of ["file", "file"]) form.append(name, new Blob(["x"]), "a.jsonl");
    const two = await fetch(`${gateway.url}/v1/files`, {
      method: "POST",
      headers: { authorization },
      body: form,
    });
    expect(await errorOf(two)).toMatchObject({ status: 400 });
  });

  test("a client that leaves in the middle: nothing is kept, and the next upload succeeds", async () => {
    const socket = connect(gateway.port, "127.0.0.1");
    const head = [
      "POST /v1/files HTTP/1.1",
      "host: x",
      `authorization: Bearer ${KEY}`,
      "content-type: multipart/form-data; boundary=b",
      "content-length: 1000000",
      "",
      '--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n',
    ];
    socket.write(head.join("\r\n") + "x".repeat(2 * CHUNK));
    await until(
      async () => (await query(postgres, "select 1 from gateway_file where chunks > 0")).length > 0,
    );
    socket.destroy();
    await until(
      async () => (await query(postgres, "select 1 from gateway_file where state = 'writing'")).length === 0,
    );
    await created("x");
  });

  test("a form that says it is larger than any file may be: is answered before it is read", async () => {
    const socket = connect(gateway.port, "127.0.0.1");
    const head = [
      "POST /v1/files HTTP/1.1",
      "host: x",
      `authorization: Bearer ${KEY}`,
      "content-type: multipart/form-data; boundary=b",
      "content-length: 99999999",
      "connection: close",
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    const [data] = (await once(socket, "data")) as [Buffer];
    expect(data.toString()).toMatch(/^HTTP\/1.1 413 /);
    socket.destroy();
  });
});

describe("stored content that cannot be read", () => {
  async function refused(response: Response): Promise<void> {
    const message = await response.text();
    expect(response.status).toBe(500);
    expect(JSON.parse(message)).toEqual({
      error: {
        message: "The server had an error while processing the request.",
        type: "server_error",
        param: null,
        code: "server_error",
      },
    });
  }

  test("chunks of another tenant's file in the place of one's own: 500, and not a byte of them", async () => {
    const mine = await created("my own content");
    const theirs = await created("the secret of another", OTHER_KEY);
    await query(
      postgres,
      "update gateway_file_chunk set data = (select data from gateway_file_chunk where file_id = $2) where file_id = $1",
      [mine.id, theirs.id],
    );
    await refused(await contentOf(mine.id));
    await query(
      postgres,
      "update gateway_file set data_key = (select data_key from gateway_file where id = $2) where id = $1",
      [mine.id, theirs.id],
    );
    await refused(await contentOf(mine.id));
  });

  test("a file given to another tenant in the database: 500 for that one", async () => {
    const file = await created("the secret of a tenant");
    await query(postgres, "update gateway_file set tenant = 'globex' where id = $1", [file.id]);
    await refused(await contentOf(file.id, OTHER_KEY));
  });

  test("an end that was cut off: 500, or a body that is cut", async () => {
    const file = await created("x".repeat(2 * CHUNK));
    await query(postgres, "update gateway_file set chunks = 1, bytes = $2 where id = $1", [file.id, CHUNK]);
    await refused(await contentOf(file.id));
    await query(postgres, "update gateway_file set chunks = 3, bytes = $2 where id = $1", [
      file.id,
      3 * CHUNK,
    ]);
    await expect(contentOf(file.id).then((response) => response.arrayBuffer())).rejects.toThrow();
  });

  test("a gateway without the content key: 500 there, as before elsewhere", async () => {
    const file = await created("content");
    const other = JSON.stringify([{ id: "k2", key: randomBytes(32).toString("base64") }]);
    const env = { GATEWAY_CONTENT_KEYS: other };
    const stranger = await startBatchGateway(postgres, replica, { env, batches: { concurrency: 0 } });
    await refused(await send(stranger.url, "GET", `/v1/files/${file.id}/content`));
    await stranger.close();
    expect(await (await contentOf(file.id)).text()).toBe("content");
  });
});

describe("what happens in the background", () => {
  test("deleted, expired and abandoned files: go with their chunks, others stay", async () => {
    const files = [await created("x".repeat(2 * CHUNK)), await created("expires"), await created("stays")];
    const [deleted, expired, stays] = files.map(({ id }) => id);
    await send(gateway.url, "DELETE", `/v1/files/${deleted}`);
    await query(postgres, "update gateway_file set expires_at = now() where id = $1", [expired]);
    await query(
      postgres,
      `insert into gateway_file (id, tenant, project, key_id, purpose, filename, state, content_key_id, data_key, touched_at)
       values ('file-cut', 'acme', '', '', 'batch', 'f', 'writing', 'k1', '', now() - interval '1 hour')`,
    );
    const { store, close } = sweepStore({ id: "k1", key: CONTENT_KEY });
    await store.expire();
    while (await store.removeFiles());
    await close();
    expect(await query(postgres, "select id from gateway_file")).toEqual([{ id: stays }]);
    expect(
      await query(postgres, "select distinct file_id from gateway_file_chunk where file_id = any($1)", [
        files.map(({ id }) => id),
      ]),
    ).toEqual([{ file_id: stays }]);
  });

  test("a content key that was changed: data keys are wrapped anew, and the old one is not needed any more", async () => {
    const file = await created("content under the old key");
    const fresh = { id: "k2", key: randomBytes(32).toString("base64") };
    const { store, close } = sweepStore(fresh, { id: "k1", key: CONTENT_KEY });
    const failed: unknown[] = [];
    expect(await store.rewrap((error) => failed.push(error))).toBe(1);
    expect(await store.rewrap((error) => failed.push(error))).toBe(0);
    expect(failed).toEqual([]);
    await close();
    const env = { GATEWAY_CONTENT_KEYS: JSON.stringify([fresh]) };
    const rotated = await startBatchGateway(postgres, replica, { env, batches: { concurrency: 0 } });
    const response = await send(rotated.url, "GET", `/v1/files/${file.id}/content`);
    expect(await response.text()).toBe("content under the old key");
    await rotated.close();
  });
});

describe("a gateway that can store nothing", () => {
  test.each(["GATEWAY_CONTENT_KEYS", "GATEWAY_DATABASE_URL"])(
    "for want of %s: has no such paths",
    async (missing) => {
      const env: Record<string, string> = {
        GATEWAY_DATABASE_URL: postgres.url,
        GATEWAY_CONTENT_KEYS: JSON.stringify([{ id: "k1", key: CONTENT_KEY }]),
      };
      delete env[missing];
      const plain = await startTestGateway({ replicas: [replica.url], env });
      for (const path of ["/v1/files", "/v1/batches"]) {
        expect(await errorOf(await send(plain.url, "GET", path))).toMatchObject({
          status: 404,
          code: "not_found",
        });
      }
      await plain.close();
    },
  );

  test("since the database is away: 503 at once, also in the middle of an upload", async () => {
    const away = await startPostgres(POSTGRES_KINDS[0] ?? "embedded");
    const lonely = await startBatchGateway(away, replica);
    await away.stop();
    const list = await send(lonely.url, "GET", "/v1/batches");
    expect(await errorOf(list)).toMatchObject({ status: 503, code: "unavailable" });
    expect(await errorOf(await upload(lonely.url, { content: "x" }))).toMatchObject({ status: 503 });
    const form = Readable.toWeb(Readable.from(["--b\r\n"])) as ReadableStream;
    const headers = { authorization: `Bearer ${KEY}`, "content-type": "multipart/form-data; boundary=b" };
    const cut = await fetch(`${lonely.url}/v1/files`, {
      method: "POST",
      headers,
      body: form,
      duplex: "half",
    } as RequestInit);
    expect(cut.status).toBe(400);
    await text(cut.body as never);
    await lonely.close();
  });
});
