import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PlatformProvider } from "../../../providers/provider.ts";
import { type Properties, secret } from "../../../providers/wire.ts";
import type { Traffic } from "../../../services/router/contract.ts";
import { type RunningRouter, startRouter } from "../../../services/router/router.ts";
import { failure, urnOf } from "../support.ts";

const TOKEN = "router-admin-token-for-tests";
const BLUE = { url: "http://127.0.0.1:1001", weight: 100 };
const GREEN = { url: "http://127.0.0.1:1002", weight: 0 };

const provider = new PlatformProvider();
const urn = urnOf("platform:router:Traffic", "weights");
let folder: string;
let router: RunningRouter;

function start(): Promise<RunningRouter> {
  const stateFile = join(folder, "traffic.json");
  return startRouter({
    host: "127.0.0.1",
    port: 0,
    adminPort: 0,
    adminToken: TOKEN,
    stateFile,
    drainSeconds: 1,
  });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "traffic-test-"));
  router = await start();
});
afterEach(async () => {
  await router.close();
  rmSync(folder, { recursive: true, force: true });
});

function inputs(backends: Properties, adminUrl = router.adminUrl): Properties {
  return { adminUrl, token: secret(TOKEN), backends };
}

async function ask(traffic?: Traffic): Promise<Traffic> {
  const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
  const init = traffic === undefined ? {} : { method: "PUT", body: JSON.stringify(traffic) };
  const response = await fetch(new URL("/v1/traffic", router.adminUrl), { headers, ...init });
  return Object(await response.json());
}

async function create(backends: Properties): Promise<Properties> {
  return (await provider.create(urn, inputs(backends))).outs;
}

async function update(olds: Properties, backends: Properties): Promise<Properties> {
  return (await provider.update("id", urn, olds, inputs(backends))).outs;
}

describe("the traffic of a router", () => {
  test("create and update, then the router has the weights and each change a higher generation", async () => {
    const first = await create({ blue: BLUE });
    expect(await ask()).toEqual({ generation: first.generation, backends: { blue: BLUE } });
    const shifted = { blue: { ...BLUE, weight: 75 }, green: { ...GREEN, weight: 25 } };
    const second = await update(first, shifted);
    expect(await ask()).toEqual({ generation: second.generation, backends: shifted });
    expect(Number(second.generation)).toBeGreaterThan(Number(first.generation));
    expect(second.token).toEqual(secret(TOKEN));
  });

  test("update, when a rollback moved the traffic since, then the update loses and says what to do", async () => {
    const olds = await create({ blue: BLUE });
    const rolledBack = { blue: { ...BLUE, weight: 0 }, green: { ...GREEN, weight: 100 } };
    const moved = await ask({ generation: Number(olds.generation) + 1, backends: rolledBack });
    const { message } = await failure(
      update(olds, { blue: { ...BLUE, weight: 50 }, green: { ...GREEN, weight: 50 } }),
    );
    expect(message).toContain("another writer moved the traffic meanwhile; refresh and run again");
    expect(await ask()).toEqual(moved);
  });

  test("update, when the router has these weights already, then it is recorded without another write", async () => {
    const olds = await create({ blue: BLUE });
    const wanted = { blue: { ...BLUE, weight: 0 }, green: { ...GREEN, weight: 100 } };
    const moved = await ask({ generation: 7, backends: wanted });
    expect((await update(olds, wanted)).generation).toBe(7);
    expect(await ask()).toEqual(moved);
  });

  test("read, after someone else moved the traffic, then the next diff shows the drift and an update mends it", async () => {
    const olds = await create({ blue: BLUE });
    await ask({ generation: 9, backends: { green: { ...GREEN, weight: 100 } } });
    const { props } = await provider.read("id", urn, olds);
    expect(props).toMatchObject({ generation: 9, backends: { green: { weight: 100 } } });
    expect((await provider.diff("id", urn, props, inputs({ blue: BLUE }))).changes).toBe(true);
    await update(props, { blue: BLUE });
    expect(await ask()).toMatchObject({ generation: 10, backends: { blue: BLUE } });
  });

  test("diff, with the same weights written otherwise, then nothing changes", async () => {
    const olds = await create({ blue: BLUE });
    const same = inputs({ blue: { ...BLUE, url: `${BLUE.url}/` } });
    expect((await provider.diff("id", urn, olds, same)).changes).toBe(false);
  });

  test("delete, then nothing is served", async () => {
    const olds = await create({ blue: BLUE });
    await provider.delete("id", urn, olds);
    expect((await ask()).backends).toEqual({});
  });

  test("a router that is gone, then read misses it, delete is content, create and update fail", async () => {
    const olds = await create({ blue: BLUE });
    const gone = inputs({ blue: BLUE });
    await router.close();
    expect((await provider.read("id", urn, olds)).id).toBe("");
    await provider.delete("id", urn, olds);
    expect((await failure(provider.create(urn, gone))).message).toContain("does not answer: start it first");
    expect((await failure(provider.update("id", urn, olds, gone))).message).toContain("does not answer");
    router = await start();
  });

  test("a token that the router refuses, then create fails without showing it", async () => {
    const wrong = { ...inputs({ blue: BLUE }), token: secret("another-token-of-16") };
    const { message } = await failure(provider.create(urn, wrong));
    expect(message).toContain("refuses the token");
    expect(message).not.toContain("another-token");
  });

  test("check, with a token that is no secret yet, then the state keeps it as one", async () => {
    const { inputs: checked } = await provider.check(urn, {}, { ...inputs({}), token: TOKEN });
    expect(checked.token).toEqual(secret(TOKEN));
  });

  test("check, with many faults, then each is named at once", async () => {
    const wrong = {
      adminUrl: "ftp://x",
      backends: { blue: { url: "http://a/path", weight: 120 }, red: BLUE },
    };
    const { failures } = await provider.check(urn, {}, wrong);
    expect(failures?.map(({ property }) => property).sort()).toEqual(
      ["adminUrl", "backends", "backends.blue.url", "backends.blue.weight", "backends.red", "token"].sort(),
    );
    const uneven = await provider.check(urn, {}, inputs({ blue: { ...BLUE, weight: 60 } }));
    expect(uneven.failures?.[0]).toMatchObject({ property: "backends" });
  });
});

describe("what answers at the admin address", () => {
  let server: Server;
  afterEach(() => server.close());

  async function answering(statuses: Record<string, number>, body: object): Promise<string> {
    server = createServer((request, response) => {
      response.writeHead(statuses[request.method ?? ""] ?? 200).end(JSON.stringify(body));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  test("create, when another writer comes between reading and writing, then it loses", async () => {
    const adminUrl = await answering({ PUT: 409 }, { generation: 3, backends: {} });
    const { message } = await failure(provider.create(urn, inputs({ blue: BLUE }, adminUrl)));
    expect(message).toContain("another writer moved the traffic meanwhile");
  });

  test("create, when it is no router, then the error says so", async () => {
    const adminUrl = await answering({}, { hello: "world" });
    const { message } = await failure(provider.create(urn, inputs({ blue: BLUE }, adminUrl)));
    expect(message).toContain("is not the router");
  });

  test("create, when the router refuses the weights, then its reason is shown", async () => {
    const adminUrl = await answering({ GET: 500 }, { error: { message: "the change could not be saved" } });
    const { message } = await failure(provider.create(urn, inputs({ blue: BLUE }, adminUrl)));
    expect(message).toContain("answered 500: the change could not be saved");
  });
});

describe("weights that carry the number of their decision", () => {
  const ALL_GREEN = { green: { ...GREEN, weight: 100 } };
  const decided = (backends: Properties, generation: number) => ({ ...inputs(backends), generation });

  test("create, then the router has them under that number", async () => {
    const { outs } = await provider.create(urn, decided({ blue: BLUE }, 5));
    expect(outs.generation).toBe(5);
    expect(await ask()).toEqual({ generation: 5, backends: { blue: BLUE } });
  });

  test("update, when a later decision is in force that a refresh has seen already, then it loses all the same", async () => {
    const { outs } = await provider.create(urn, decided({ blue: BLUE }, 5));
    const later = await ask({ generation: 6, backends: ALL_GREEN });
    const { props } = await provider.read("id", urn, outs);
    const { message } = await failure(provider.update("id", urn, props, decided({ blue: BLUE }, 5)));
    expect(message).toContain("another writer moved the traffic meanwhile");
    expect(await ask()).toEqual(later);
  });

  test("update, when they are in force under a later number, then nothing is written", async () => {
    const { outs } = await provider.create(urn, decided({ blue: BLUE }, 5));
    const later = await ask({ generation: 8, backends: ALL_GREEN });
    expect((await provider.update("id", urn, outs, decided(ALL_GREEN, 6))).outs.generation).toBe(8);
    expect(await ask()).toEqual(later);
  });

  test("create, when the router serves nothing since a later number, then it serves them under a number after that", async () => {
    const { outs } = await provider.create(urn, decided({ blue: BLUE }, 5));
    await provider.delete("id", urn, outs);
    expect((await provider.create(urn, decided({ blue: BLUE }, 5))).outs.generation).toBe(7);
    expect((await ask()).backends).toEqual({ blue: BLUE });
  });

  test("create, by several at the same time, then all find it carried out", async () => {
    const all = Array.from({ length: 8 }, () => provider.create(urn, decided({ blue: BLUE }, 5)));
    expect((await Promise.all(all)).map(({ outs }) => outs.generation)).toEqual(all.map(() => 5));
  });

  test("create, of weights that are in force under a lower number, then they carry its number", async () => {
    await provider.create(urn, decided({ blue: BLUE }, 5));
    expect((await provider.create(urn, decided({ blue: BLUE }, 7))).outs.generation).toBe(7);
    expect(await ask()).toEqual({ generation: 7, backends: { blue: BLUE } });
  });

  test("diff, when the number alone changed, then nothing changes", async () => {
    const { outs } = await provider.create(urn, decided({ blue: BLUE }, 5));
    expect((await provider.diff("id", urn, outs, decided({ blue: BLUE }, 6))).changes).toBe(false);
  });
});
