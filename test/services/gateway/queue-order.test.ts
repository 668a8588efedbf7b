import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { ApiError } from "../../../services/gateway/api/errors.ts";
import { createMetrics } from "../../../services/gateway/metrics.ts";
import { DrainRate } from "../../../services/gateway/queue/drain-rate.ts";
import { AdmissionQueue } from "../../../services/gateway/queue/queue.ts";
import { queueSettings } from "../../../services/gateway/queue/settings.ts";
import type { Entrant, Rank, Release } from "../../../services/gateway/queue/waiting.ts";
import type { Principal } from "../../../services/gateway/tenancy/principal.ts";
import { ClientLeft, UpstreamFailure } from "../../../services/gateway/upstream/failure.ts";
import { testConfig, until } from "./support.ts";

const models = { list: [] };
const metrics = createMetrics(testConfig({ replicas: ["http://127.0.0.1:1"] }), models);
const up = { healthy: true };
const MODEL = { name: "m", replicas: [up] };
const NOBODY = { requestsPerMinute: undefined, tokensPerMinute: undefined, concurrency: undefined };

const queues: AdmissionQueue[] = [];
afterEach(() => {
  for (const queue of queues.splice(0)) queue.close();
});

function queueWith(settings: object): AdmissionQueue {
  const parsed = queueSettings.parse(settings);
  const queue = new AdmissionQueue(() => parsed, metrics);
  queues.push(queue);
  return queue;
}

function principalOf(rank: Rank, tenant: string): Principal {
  const tier = rank === "probe" || rank === "batch" ? "bronze" : rank;
  const budget = { hourlyUsd: undefined, dailyUsd: undefined };
  return {
    keyId: `key-of-${tenant}`,
    tenant: { id: tenant, tier, region: undefined, sensitivity: "medium", limits: NOBODY, budget },
    project: "default",
    limits: NOBODY,
    permissions: [],
    models: undefined,
    expiresAt: undefined,
    operator: false,
    probe: rank === "probe",
  };
}

function entrant(rank: Rank = "bronze", tenant = "t", bytes = 1): Entrant {
  const principal = principalOf(rank, tenant);
  return {
    body: { length: bytes },
    principal,
    isBatch: rank === "batch",
    waiting: undefined,
    queuedMs: undefined,
  };
}

/** Lets these wait behind one that is with the model, then serves one after another; gives their order. */
async function served(queue: AdmissionQueue, entrants: readonly (readonly [Rank, string])[]) {
  const first = queue.admit(entrant(), MODEL);
  if (typeof first !== "function") throw new Error("there must be room at first");
  const order: string[] = [];
  const all = entrants.map(async ([rank, tenant], index) => {
    const release = await queue.admit(entrant(rank, tenant), MODEL);
    order.push(`${rank}/${tenant}/${index}`);
    release();
  });
  first();
  await Promise.all(all);
  return order;
}

function refusalOf(act: () => unknown): ApiError {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

const namesOf = (order: readonly string[], part: number) => order.map((name) => name.split("/")[part]);

describe("The queue, when there is room at the model", () => {
  it("then a request goes on at once, and the same function gives every place back", () => {
    const queue = queueWith({ perReplica: 2 });
    const releases = [queue.admit(entrant(), MODEL), queue.admit(entrant(), MODEL)];
    expect(releases[0]).toBeTypeOf("function");
    expect(releases[1]).toBe(releases[0]);
    expect(queue.admit(entrant(), MODEL)).toBeInstanceOf(Promise);
  });

  it("then without a bound nothing ever waits", () => {
    const queue = queueWith({});
    for (let index = 0; index < 1_000; index += 1)
      expect(queue.admit(entrant(), MODEL)).toBeTypeOf("function");
  });

  it("then a model's own bound wins, and each healthy replica has its own places", () => {
    const queue = queueWith({ perReplica: 1 });
    const entry = { maxConcurrency: 2 };
    const model = { name: "m", replicas: [up, { healthy: false }, up], entry };
    for (let index = 0; index < 4; index += 1) expect(queue.admit(entrant(), model)).toBeTypeOf("function");
    expect(queue.admit(entrant(), model)).toBeInstanceOf(Promise);
  });
});

describe("The queue, when several ranks wait", () => {
  it("then probes come first, then gold, silver, bronze, and batches last", async () => {
    const queue = queueWith({ perReplica: 1, oldestEvery: 1_000 });
    const order = await served(queue, [
      ["batch", "t"],
      ["bronze", "t"],
      ["silver", "t"],
      ["gold", "t"],
      ["probe", "t"],
      ["gold", "u"],
    ]);
    expect(namesOf(order, 0)).toEqual(["probe", "gold", "gold", "silver", "bronze", "batch"]);
  });

  it("then every tenth place goes to the client that has waited longest, never to a batch before it", async () => {
    const queue = queueWith({ perReplica: 1 });
    const gold = Array.from({ length: 25 }, () => ["gold", "rich"] as const);
    const order = await served(queue, [["batch", "b"], ["bronze", "poor"], ["bronze", "poor"], ...gold]);
    const ranks = namesOf(order, 0);
    expect([ranks.indexOf("bronze"), ranks.lastIndexOf("bronze")]).toEqual([9, 19]);
    expect(ranks.at(-1)).toBe("batch");
  });
});

describe("The queue, when several tenants of a rank wait", () => {
  it("then they take turns, each in the order of its own requests", async () => {
    const queue = queueWith({ perReplica: 1, oldestEvery: 1_000, tenantShare: 1, tierShares: { bronze: 1 } });
    const tenants = ["a", "a", "a", "a", "b", "c", "c"];
    const order = await served(
      queue,
      tenants.map((tenant) => ["bronze", tenant] as const),
    );
    expect(namesOf(order, 1)).toEqual(["a", "b", "c", "a", "c", "a", "a"]);
    const ofA = order.filter((name) => name.includes("/a/")).map((name) => Number(name.split("/")[2]));
    expect(ofA).toEqual(ofA.toSorted((one, other) => one - other));
  });

  it("then no tenant is ever served twice while another one of its rank waits", async () => {
    const tenant = fc.constantFrom("a", "b", "c", "d");
    await fc.assert(
      fc.asyncProperty(fc.array(tenant, { minLength: 1, maxLength: 40 }), async (tenants) => {
        const queue = queueWith({ perReplica: 1, oldestEvery: 1_000, tenantShare: 1 });
        const order = namesOf(
          await served(
            queue,
            tenants.map((name) => ["gold", name] as const),
          ),
          1,
        );
        order.forEach((name, index) => {
          const waiting = new Set(order.slice(index + 1));
          if (waiting.size > 1) expect(order[index + 1]).not.toBe(name);
        });
        expect(order.toSorted()).toEqual(tenants.toSorted());
      }),
      { numRuns: 100 },
    );
  });
});

describe("The queue, when it is full", () => {
  const full = (queue: AdmissionQueue, rank: Rank, tenant: string, count: number, bytes = 1) => {
    for (let index = 0; index < count; index += 1)
      void Promise.resolve(queue.admit(entrant(rank, `${tenant}${index}`, bytes), MODEL)).catch(() => {});
  };

  function busy(settings: object): AdmissionQueue {
    const queue = queueWith({ perReplica: 1, ...settings });
    void queue.admit(entrant(), MODEL);
    return queue;
  }

  it("then a tenant with more than its share is told 429, and others still get in", () => {
    const queue = busy({ length: 10, tenantShare: 0.2 });
    for (let index = 0; index < 2; index += 1) void queue.admit(entrant("gold", "greedy"), MODEL);
    const error = refusalOf(() => queue.admit(entrant("gold", "greedy"), MODEL));
    expect([error.status, error.errorName]).toEqual([429, "rate_limit_exceeded"]);
    expect(queue.admit(entrant("gold", "modest"), MODEL)).toBeInstanceOf(Promise);
  });

  it("then bronze cannot take what is kept for silver, nor both what is kept for gold", () => {
    const queue = busy({ length: 100 });
    const fill = (rank: Rank) => {
      let count = 0;
      for (;;) {
        const attempt = () => queue.admit(entrant(rank, `${rank}-${count}`), MODEL);
        try {
          void attempt();
        } catch (error) {
          expect((error as ApiError).errorName).toBe("model_overloaded");
          return count;
        }
        count += 1;
      }
    };
    expect([fill("batch"), fill("bronze"), fill("silver"), fill("gold"), fill("probe")]).toEqual([
      10, 40, 25, 25, 0,
    ]);
    expect(queue.length).toBe(100);
  });

  it("then bytes bound it as numbers do", () => {
    const queue = busy({ length: 1_000, maxBytes: 1_000 });
    full(queue, "gold", "g", 9, 100);
    expect(refusalOf(() => queue.admit(entrant("gold", "h", 101), MODEL)).status).toBe(503);
    expect(queue.admit(entrant("gold", "h", 100), MODEL)).toBeInstanceOf(Promise);
    expect(refusalOf(() => queue.admit(entrant("gold", "i", 1), MODEL)).status).toBe(503);
  });

  it("then bytes bound the first one that waits, and probes, too", () => {
    const queue = busy({ maxBytes: 1_000 });
    expect(refusalOf(() => queue.admit(entrant("gold", "g", 1_001), MODEL)).status).toBe(503);
    expect(queue.admit(entrant("probe", "p", 1_000), MODEL)).toBeInstanceOf(Promise);
    expect(refusalOf(() => queue.admit(entrant("probe", "p", 1), MODEL)).status).toBe(503);
  });

  it("then a queue of no length refuses, and what is refused leaves nothing behind", () => {
    const queue = busy({ length: 0 });
    expect(refusalOf(() => queue.admit(entrant(), MODEL)).status).toBe(503);
    expect(queue.length).toBe(0);
  });
});

describe("The queue, when a request leaves it early", () => {
  it("then it is out at once, its place goes to the next one, and its bytes are free", async () => {
    const queue = queueWith({ perReplica: 1, maxBytes: 100, tierShares: { bronze: 1 }, tenantShare: 1 });
    const release = queue.admit(entrant(), MODEL) as Release;
    const leaving = entrant("bronze", "t", 100);
    const left = Promise.resolve(queue.admit(leaving, MODEL));
    const reason = new ClientLeft();
    leaving.waiting?.cancel(reason);
    await expect(left).rejects.toBe(reason);
    expect(queue.length).toBe(0);
    const next = Promise.resolve(queue.admit(entrant("bronze", "t", 100), MODEL));
    release();
    expect(await next).toBeTypeOf("function");
    leaving.waiting?.cancel(reason);
    expect(leaving.queuedMs).toBeTypeOf("number");
  });

  it("then one whose deadline passed is told that the model is overloaded: it was never begun", async () => {
    const queue = queueWith({ perReplica: 1 });
    void queue.admit(entrant(), MODEL);
    const late = entrant();
    const place = Promise.resolve(queue.admit(late, MODEL));
    late.waiting?.cancel(new UpstreamFailure("timeout", "late"));
    await expect(place).rejects.toMatchObject({ errorName: "model_overloaded" });
  });
});

describe("The queue, when requests wait too long", () => {
  it("then they are told 503 with Retry-After, batches too, and the queue is empty", async () => {
    const queue = queueWith({ perReplica: 1, maxWaitSeconds: 0.05 });
    void queue.admit(entrant(), MODEL);
    const waiting = (["gold", "batch"] as const).map((rank) =>
      Promise.resolve(queue.admit(entrant(rank), MODEL)).catch((error: ApiError) => error),
    );
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ errorName: "model_overloaded" });
      expect(Number((error as ApiError).toHeaders()["retry-after"])).toBeGreaterThanOrEqual(1);
    }
    expect(queue.length).toBe(0);
  });
});

describe("The queue, when a replica becomes healthy", () => {
  it("then those who wait go on, although no place was given back", async () => {
    const queue = queueWith({ perReplica: 1, maxWaitSeconds: 60 });
    const second = { healthy: false };
    const model = { name: "m", replicas: [up, second] };
    void queue.admit(entrant(), model);
    const place = Promise.resolve(queue.admit(entrant(), model));
    second.healthy = true;
    expect(await place).toBeTypeOf("function");
  });
});

describe("The queue, when its settings change", () => {
  it("then requests that began without a bound count for the new one", async () => {
    let settings = queueSettings.parse({});
    const queue = new AdmissionQueue(() => settings, metrics);
    queues.push(queue);
    const release = queue.admit(entrant(), MODEL) as Release;
    settings = queueSettings.parse({ perReplica: 1 });
    const place = Promise.resolve(queue.admit(entrant(), MODEL));
    expect(queue.length).toBe(1);
    release();
    expect(await place).toBeTypeOf("function");
  });
});

describe("Whatever comes, goes and leaves", () => {
  const step = fc.record({
    kind: fc.constantFrom("come", "come", "finish", "leave"),
    rank: fc.constantFrom<Rank>("probe", "gold", "silver", "bronze", "batch"),
    tenant: fc.constantFrom("a", "b", "c"),
    pick: fc.nat(100),
  });

  /** Plays clients that come, finish and leave; what it finds out is never more than may be. */
  class Play {
    readonly queue = queueWith({ perReplica: 3, length: 12, oldestEvery: 4 });
    readonly running: Release[] = [];
    readonly waiting = new Set<Entrant>();
    readonly all: Promise<void>[] = [];
    most = 0;

    act({ kind, rank, tenant, pick }: Step): void {
      if (kind === "come") this.all.push(this.#come(entrant(rank, tenant)));
      if (kind === "finish") this.running.splice(pick % (this.running.length || 1), 1)[0]?.();
      const leaving = [...this.waiting].at(pick % (this.waiting.size || 1));
      if (kind === "leave") leaving?.waiting?.cancel(new ClientLeft());
    }

    async finish(): Promise<void> {
      for (; this.waiting.size > 0 || this.running.length > 0; await Promise.resolve())
        this.running.pop()?.();
      await Promise.all(this.all);
    }

    async #come(one: Entrant): Promise<void> {
      this.waiting.add(one);
      try {
        this.running.push(await this.queue.admit(one, MODEL));
        this.most = Math.max(this.most, this.running.length);
      } catch {
        // Refused or left.
      }
      this.waiting.delete(one);
    }
  }
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

  it("then never more run than there are places, nobody is lost and no place is", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const play = new Play();
        for (const each of steps) {
          play.act(each);
          await Promise.resolve();
          await Promise.resolve();
          expect(play.queue.length).toBeLessThanOrEqual(12);
        }
        await play.finish();
        expect(play.most).toBeLessThanOrEqual(3);
        expect(play.queue.length).toBe(0);
        const again = Array.from({ length: 4 }, () => play.queue.admit(entrant("gold"), MODEL));
        expect(again.map((place) => typeof place)).toEqual(["function", "function", "function", "object"]);
      }),
      { numRuns: 150 },
    );
  });
});

describe("The drain rate, when places become free", () => {
  it("then it tells how long so many take, from 1 to 60 s, and sinks when nothing moves any more", () => {
    const rate = new DrainRate();
    expect(rate.secondsUntil(100, 0, 7)).toBe(7);
    for (let index = 0; index <= 100; index += 1) rate.record(index * 100);
    expect(rate.secondsUntil(100, 10_000, 7)).toBe(10);
    expect(rate.secondsUntil(1, 10_000, 7)).toBe(1);
    expect(rate.secondsUntil(100_000, 10_000, 7)).toBe(60);
    expect(rate.secondsUntil(100, 16_900, 7)).toBeGreaterThan(30);
    rate.forget(20_000);
    expect(rate.secondsUntil(10, 20_000, 7)).toBeGreaterThan(1);
    rate.forget(60_000);
    expect(rate.secondsUntil(100, 60_000, 7)).toBe(7);
  });
});

describe("The queue's metrics, when requests wait, go on and are refused", () => {
  it("then length, wait and refusals are told by model and tier", async () => {
    const queue = queueWith({ perReplica: 1, length: 2, maxWaitSeconds: 0.2 });
    const release = queue.admit(entrant(), { name: "told", replicas: [up] }) as Release;
    const model = { name: "told", replicas: [up] };
    const gold = Promise.resolve(queue.admit(entrant("gold", "g", 7), model));
    const silver = Promise.resolve(queue.admit(entrant("silver", "s", 7), model)).catch(() => {});
    refusalOf(() => queue.admit(entrant("gold", "h"), model));
    const page = () => metrics.registry.metrics();
    expect(await page()).toMatch(/gateway_queue_length\{.*model="told",tier="gold"} 1/);
    expect(await page()).toMatch(/gateway_queue_bytes\{.*} 14/);
    expect(await page()).toMatch(
      /gateway_queue_refused_total\{.*model="told",tier="gold",reason="length"} 1/,
    );
    release();
    await gold;
    await silver;
    await until(() => queue.length === 0);
    expect(await page()).toMatch(/wait_seconds_count\{.*model="told",tier="gold",end="admitted"} 1/);
    expect(await page()).toMatch(/wait_seconds_count\{.*model="told",tier="silver",end="expired"} 1/);
    expect(await page()).toMatch(/refused_total\{.*model="told",tier="silver",reason="waited"} 1/);
  });
});
