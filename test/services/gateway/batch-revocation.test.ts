import { afterAll, beforeAll, expect, test } from "vitest";
import { findPrincipal } from "../../../services/gateway/batches/principals.ts";
import { type Batch, CONTENT_KEYS, line, startBatch } from "./batch-scene.ts";
import { answerChat, KEY, sha256, until } from "./support.ts";
import { World } from "./tenancy-world.ts";

const LINES = 8;

let world: World;

beforeAll(async () => {
  world = await World.start({ gateways: 0 });
  await world.addGateway({
    env: { GATEWAY_CONTENT_KEYS: CONTENT_KEYS },
    settings: { batches: { pollMs: 50, concurrency: LINES, yieldAbove: 0 } },
  });
}, 120_000);

afterAll(() => world.close());

const get = (path: string, key: string) =>
  fetch(world.url() + path, { headers: { authorization: `Bearer ${key}` } });

function linesAtModel(): number {
  return world.replica.received.filter(({ headers }) => /^batch_/.test(String(headers["x-request-id"])))
    .length;
}

test("a key, when it is revoked while its batch's lines wait, then none of them begins any more", async () => {
  await world.makeTenant("acme");
  const [other, key] = [await world.makeKey("acme"), await world.makeKey("acme")];
  const [line1, client] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  world.replica.behave = async (request, response) => {
    await (/^batch_/.test(String(request.headers["x-request-id"])) ? line1.promise : client.promise);
    await answerChat(request, response);
  };
  // While a client is served, lines run one at a time.
  const served = world.chat(other.secret);
  await until(() => world.replica.received.length === 1);
  const lines = Array.from({ length: LINES }, (_, index) => line(`request-${index}`));
  const batch = await startBatch(world.url(), lines, key.secret);
  await until(() => linesAtModel() === 1, 20_000);
  expect((await world.admin("POST", `/tenants/acme/keys/${key.id}/revoke`)).status).toBe(200);
  await until(async () => (await get("/v1/models", key.secret)).status === 401);
  line1.resolve();
  await until(async () => {
    const { status } = (await (await get(`/v1/batches/${batch.id}`, other.secret)).json()) as Batch;
    return status === "failed";
  }, 20_000);
  expect(linesAtModel()).toBe(1);
  client.resolve();
  expect(await served).toBe(200);
});

test("the key of a batch, when it has expired since: stands for nobody", async () => {
  const batch = Object({ tenant: "acme", credential: sha256(KEY) });
  const found = (expiresAt?: number) => {
    const directory = Object({ findKey: async () => ({ tenant: { id: "acme" }, expiresAt }) });
    return findPrincipal(directory, batch);
  };
  expect(await found()).toBeDefined();
  expect(await found(Date.now() + 60_000)).toBeDefined();
  expect(await found(Date.now() - 1)).toBeUndefined();
});
