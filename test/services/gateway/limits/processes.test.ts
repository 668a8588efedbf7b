import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { REDIS_KINDS, type StoreProcess, startRedis } from "../../stores.ts";
import { type GatewayProcess, startGatewayProcess } from "../process.ts";
import { type FakeReplica, post, startReplica, until } from "../support.ts";
import { boundedBy, connect, isShared } from "./support.ts";

const LIMIT = 1_000;
const GATEWAYS = 4;
const REQUESTS_EACH = 325;
const CONNECTIONS_EACH = 8;
const MINUTE_MS = 60_000;
const PATIENCE_MS = 240_000;

let replica: FakeReplica;
beforeAll(async () => {
  replica = await startReplica();
});
afterAll(() => replica.close());

async function startGateways(
  count: number,
  store: StoreProcess,
  settings: object,
): Promise<GatewayProcess[]> {
  const gateways = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      startGatewayProcess({
        replicas: [replica.url],
        env: { GATEWAY_REDIS_URL: store.url, GATEWAY_COLOR: i % 2 === 0 ? "blue" : "green" },
        settings,
      }),
    ),
  );
  onTestFinished(async () => {
    for (const gateway of gateways) gateway.signal("SIGKILL");
    await Promise.all(gateways.map(({ exited }) => exited));
  });
  for (const { url } of gateways) await until(() => isShared(url), 30_000);
  return gateways;
}

/** How many of so many requests are answered with each status. */
async function load(url: string, requests: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  let left = requests;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      const answer = await post(url);
      await answer.arrayBuffer();
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS_EACH }, client));
  return statuses;
}

describe.each(REDIS_KINDS)("gateways of both colors that share %s Redis", (kind) => {
  let store: StoreProcess;
  beforeAll(async () => {
    store = await startRedis(kind);
  });
  afterAll(() => store.stop());

  test(
    "four processes, when they get more than the limit within a minute, then they admit it to within 1 % and never more",
    async () => {
      await connect(store.url).flushall();
      const gateways = await startGateways(GATEWAYS, store, boundedBy({ requestsPerMinute: LIMIT }));
      const started = performance.now();
      const loads = await Promise.all(gateways.map(({ url }) => load(url, REQUESTS_EACH)));
      // On a machine that needs longer than a minute, the next minute's requests begin to fit.
      const minutes = 1 + Math.floor((performance.now() - started) / MINUTE_MS);
      const total = (status: number) => loads.reduce((sum, statuses) => sum + (statuses.get(status) ?? 0), 0);
      expect(total(200)).toBeLessThanOrEqual(LIMIT * minutes);
      expect(total(200)).toBeGreaterThanOrEqual(LIMIT * 0.99);
    },
    PATIENCE_MS,
  );

  test(
    "requests under way, when their gateway lives, then they count beyond their lease, and when it is killed, then only until its end",
    async () => {
      await connect(store.url).flushall();
      const { behave } = replica;
      const held = Promise.withResolvers<void>();
      replica.received.length = 0;
      replica.behave = async (request, response) => {
        if (request.body.includes("hold")) await held.promise;
        await behave(request, response);
      };
      onTestFinished(() => {
        held.resolve();
        replica.behave = behave;
      });
      const settings = boundedBy({ concurrency: 1 }, { leaseSeconds: 1 });
      const [first, second] = await startGateways(2, store, settings);
      const body = JSON.stringify({ model: "chat-model", messages: [{ role: "user", content: "hold" }] });
      const lost = post(first?.url ?? "", { body }).catch(() => "cut");
      const refused = async () => {
        const answer = await post(second?.url ?? "");
        await answer.arrayBuffer();
        return answer.status === 429;
      };
      await until(() => replica.received.some((received) => received.body.includes("hold")));
      const leases = performance.now() + 3_000;
      while (performance.now() < leases) expect(await refused()).toBe(true);
      first?.signal("SIGKILL");
      expect(await lost).toBe("cut");
      await until(async () => !(await refused()));
    },
    PATIENCE_MS,
  );
});
