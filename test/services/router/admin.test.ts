import { describe, expect, test } from "vitest";
import { ROUTER_ADMIN_PATHS, ROUTER_METRICS } from "../../../services/router/contract.ts";
import { admin, currentTraffic, setTraffic, startPair, startTestRouter, TOKEN } from "./support.ts";

const BLUE = { url: "http://127.0.0.1:1001", weight: 100 };
const GREEN = { url: "http://127.0.0.1:1002", weight: 0 };

describe("the router's admin API", () => {
  test("weights, when none were ever set, then generation 0 and no backends", async () => {
    const { adminUrl } = await startTestRouter();
    expect(await currentTraffic(adminUrl)).toEqual({ generation: 0, backends: {} });
  });

  test("weights, when set, then they are read back with the URL reduced to its origin", async () => {
    const { adminUrl } = await startTestRouter();
    const backends = { blue: { ...BLUE, url: `${BLUE.url}/` }, green: GREEN };
    const response = await admin(adminUrl, "PUT", { generation: 7, backends });
    expect(response.status).toBe(200);
    const expected = { generation: 7, backends: { blue: BLUE, green: GREEN } };
    expect(await response.json()).toEqual(expected);
    expect(await currentTraffic(adminUrl)).toEqual(expected);
  });

  test.each([6, 7])(
    "a writer, when its generation %i is not above 7, then 409 with the current one",
    async (stale) => {
      const { adminUrl } = await startTestRouter();
      await admin(adminUrl, "PUT", { generation: 7, backends: { blue: BLUE } });
      const response = await admin(adminUrl, "PUT", { generation: stale, backends: {} });
      expect(response.status).toBe(409);
      expect(await response.json()).toMatchObject({ generation: 7 });
      expect(await currentTraffic(adminUrl)).toEqual({ generation: 7, backends: { blue: BLUE } });
    },
  );

  test("ten writers at once, when all use the same generation, then exactly one wins", async () => {
    const { adminUrl } = await startTestRouter();
    const writers = Array.from({ length: 10 }, () =>
      admin(adminUrl, "PUT", { generation: 1, backends: { blue: BLUE } }),
    );
    const statuses = (await Promise.all(writers)).map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
  });

  test.each([
    ["weights add up to 99", { blue: { ...BLUE, weight: 99 } }],
    ["a weight is not whole", { blue: { ...BLUE, weight: 99.5 }, green: { ...GREEN, weight: 0.5 } }],
    ["a weight is negative", { blue: { ...BLUE, weight: 101 }, green: { ...GREEN, weight: -1 } }],
    ["a URL is no URL", { blue: { ...BLUE, url: "somewhere" } }],
    ["a URL is not http", { blue: { ...BLUE, url: "file:///etc/passwd" } }],
    ["a URL has a path", { blue: { ...BLUE, url: "http://127.0.0.1:1/path" } }],
    ["a URL has credentials", { blue: { ...BLUE, url: "http://user:secret@127.0.0.1:1" } }],
    ["a color is unknown", { red: BLUE }],
  ])("weights, when %s, then 400 and nothing changes", async (_problem, backends) => {
    const { adminUrl } = await startTestRouter();
    const response = await admin(adminUrl, "PUT", { generation: 1, backends });
    expect(response.status).toBe(400);
    expect(await currentTraffic(adminUrl)).toEqual({ generation: 0, backends: {} });
  });

  test("a body, when it is not JSON or too long, then it is refused", async () => {
    const { adminUrl } = await startTestRouter();
    const send = (body: string) =>
      fetch(`${adminUrl}${ROUTER_ADMIN_PATHS.traffic}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        body,
      });
    expect((await send("{")).status).toBe(400);
    expect((await send(JSON.stringify({ padding: "x".repeat(20_000) }))).status).toBe(413);
  });

  test.each([
    ["missing", undefined],
    ["wrong", "Bearer another-token-of-a-length"],
    ["of another scheme", `Basic ${TOKEN}`],
    ["a prefix", `Bearer ${TOKEN.slice(0, -1)}`],
  ])("every path but health, when the token is %s, then 401", async (_kind, authorization) => {
    const { adminUrl } = await startTestRouter();
    const headers = authorization === undefined ? {} : { authorization };
    for (const path of [ROUTER_ADMIN_PATHS.traffic, ROUTER_ADMIN_PATHS.metrics, "/other"]) {
      expect((await fetch(`${adminUrl}${path}`, { headers })).status).toBe(401);
    }
    expect((await fetch(`${adminUrl}${ROUTER_ADMIN_PATHS.health}`, { headers })).status).toBe(200);
  });

  test("metrics, when requests were answered, then they are counted by color and class of status", async () => {
    const { router } = await startPair(100, () => (request, response) => {
      response.statusCode = request.url === "/missing" ? 404 : 200;
      response.end();
    });
    for (const path of ["/", "/", "/missing"]) await (await fetch(`${router.url}${path}`)).arrayBuffer();
    await setTraffic(router.adminUrl, {});
    await (await fetch(router.url)).arrayBuffer();
    const headers = { authorization: `Bearer ${TOKEN}` };
    const text = await (await fetch(`${router.adminUrl}${ROUTER_ADMIN_PATHS.metrics}`, { headers })).text();
    expect(text).toContain(`${ROUTER_METRICS.requests}{color="green",status="2xx"} 2`);
    expect(text).toContain(`${ROUTER_METRICS.requests}{color="green",status="4xx"} 1`);
    expect(text).toContain(`${ROUTER_METRICS.requests}{color="none",status="5xx"} 1`);
    expect(text).toContain(`${ROUTER_METRICS.activeRequests}{color="green"} 0`);
    expect(text).toContain(`${ROUTER_METRICS.weight}{color="green"} 0`);
    expect(text).toContain(`${ROUTER_METRICS.generation} 2`);
  });
});
