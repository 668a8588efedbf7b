import type { Socket } from "node:net";
import { Agent, request } from "undici";
import { describe, expect, onTestFinished, test } from "vitest";
import { ROUTER_USER_HEADER } from "../../../services/router/contract.ts";
import { setTraffic, startPair, until } from "./support.ts";

async function colorOf(url: string, user?: string): Promise<string> {
  const headers = user === undefined ? {} : { [ROUTER_USER_HEADER]: user };
  return (await fetch(url, { headers })).text();
}

async function inParallel(workers: number, work: (worker: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
}

describe("weights", () => {
  test("2,000 requests without a user, when green has 20, then between 15 and 25 percent reach it", async () => {
    const { router } = await startPair(20);
    let green = 0;
    await inParallel(10, async () => {
      for (let i = 0; i < 200; i += 1) if ((await colorOf(router.url)) === "green") green += 1;
    });
    expect(green / 20).toBeGreaterThan(15);
    expect(green / 20).toBeLessThan(25);
  });

  test("100 users, when green rises from 20 to 60, then each stays put or moves to green once", async () => {
    const { router, shift } = await startPair(20);
    const users = Array.from({ length: 100 }, (_, i) => `user-${i}`);
    const colors = () => Promise.all(users.map((user) => colorOf(router.url, user)));
    const before = await colors();
    expect(await colors()).toEqual(before);
    await shift(60);
    const after = await colors();
    expect(after.filter((color, i) => before[i] === "green" && color === "blue")).toEqual([]);
    expect(after.filter((color) => color === "green").length).toBeGreaterThan(
      before.filter((color) => color === "green").length,
    );
  });

  test("a stream, when its color gets weight 0 and is then removed, then it ends whole and new requests go elsewhere", async () => {
    const { promise: finish, resolve } = Promise.withResolvers<void>();
    const { router, urls, shift } = await startPair(0, (name) => async (request, response) => {
      response.write(name);
      if (request.url === "/stream") await finish;
      response.end(" end");
    });
    const reader = (await fetch(`${router.url}/stream`)).body
      ?.pipeThrough(new TextDecoderStream())
      .getReader();
    expect((await reader?.read())?.value).toBe("blue");
    await shift(100);
    expect(await colorOf(router.url)).toBe("green end");
    await setTraffic(router.adminUrl, { green: { url: urls.green, weight: 100 } });
    expect(await colorOf(router.url)).toBe("green end");
    resolve();
    expect((await reader?.read())?.value).toBe(" end");
    expect((await reader?.read())?.done).toBe(true);
  });

  test("a removed color, when its last response has ended, then its connections are closed", async () => {
    let open = 0;
    const { router, urls } = await startPair(0, (name) => (req, response) => {
      if (name === "blue" && req.socket.listenerCount("close", countdown) === 0) {
        open += 1;
        req.socket.once("close", countdown);
      }
      response.end(name);
    });
    function countdown() {
      open -= 1;
    }
    await colorOf(router.url);
    expect(open).toBe(1);
    const removedAt = performance.now();
    await setTraffic(router.adminUrl, { green: { url: urls.green, weight: 100 } });
    await until(() => open === 0);
    // Idle connections would end by themselves after four seconds.
    expect(performance.now() - removedAt).toBeLessThan(2_000);
  });

  test("a color, when only its weight changes, then its kept connections are used on", async () => {
    const connections = new Set<Socket>();
    const { router, shift } = await startPair(10, (name) => (req, response) => {
      if (name === "blue") connections.add(req.socket);
      response.end(name);
    });
    for (const green of [0, 40, 0, 60, 0]) {
      await shift(green);
      await shift(0);
      expect(await colorOf(router.url)).toBe("blue");
    }
    expect(connections.size).toBe(1);
  });

  test("20,000 requests on kept and new connections, when weights flip and colors come and go, then none fails", async () => {
    const { router, urls } = await startPair(50, (name) => async (req, response) => {
      for await (const _ of req);
      response.end(name);
    });
    const agent = new Agent({ connections: 16 });
    onTestFinished(() => agent.close());
    const statuses = new Map<number | string, number>();
    const send = async (i: number) => {
      const post =
        i % 3 === 0 ? ({ method: "POST", body: "x".repeat(i % 9 === 0 ? 80_000 : 50) } as const) : {};
      const { statusCode, body } = await request(router.url, {
        dispatcher: agent,
        reset: i % 10 === 0,
        ...post,
      });
      const text = await body.text();
      return text === "blue" || text === "green" ? statusCode : text;
    };
    let sent = 0;
    let flips = 0;
    const load = inParallel(16, async () => {
      while (sent < 20_000) {
        sent += 1;
        const status = await send(sent).catch((error: Error) => error.message);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    });
    const blue = { url: urls.blue };
    const green = { url: urls.green };
    const states = [
      { blue: { ...blue, weight: 100 }, green: { ...green, weight: 0 } },
      { blue: { ...blue, weight: 50 }, green: { ...green, weight: 50 } },
      { green: { ...green, weight: 100 } },
      { blue: { ...blue, weight: 0 }, green: { ...green, weight: 100 } },
      { blue: { ...blue, weight: 100 } },
    ];
    while (sent < 20_000) {
      await setTraffic(router.adminUrl, states[flips % states.length] ?? {});
      flips += 1;
    }
    await load;
    expect(Object.fromEntries(statuses)).toEqual({ 200: expect.any(Number) });
    expect(flips).toBeGreaterThan(50);
  });
});
