import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { ROUTER_ENV } from "../../../services/router/contract.ts";
import { runService, startService } from "../service-process.ts";
import { currentTraffic, setTraffic, startBackend, TOKEN, temporaryFolder } from "./support.ts";

function environment(stateFile: string, drainSeconds = 30): Record<string, string> {
  return {
    [ROUTER_ENV.port]: "0",
    [ROUTER_ENV.adminPort]: "0",
    [ROUTER_ENV.adminToken]: TOKEN,
    [ROUTER_ENV.stateFile]: stateFile,
    [ROUTER_ENV.drainSeconds]: String(drainSeconds),
  };
}

async function start(env: Record<string, string>) {
  const service = await startService("router", env);
  onTestFinished(async () => {
    service.kill("SIGKILL");
    await service.exited;
  });
  return { ...service, url: String(service.ready.url), adminUrl: String(service.ready.adminUrl) };
}

/** A backend whose answer to `/stream` waits for `finish`. */
async function startStreamingBackend() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const backend = await startBackend("blue", async (request, response) => {
    response.write("start ");
    if (request.url === "/stream") await promise;
    response.end("end");
  });
  return { url: backend.url, finish: resolve };
}

describe("the router's process", () => {
  test("a router, when killed with -9 and started again, then weights and generation are the same", async () => {
    const env = environment(join(temporaryFolder(), "state", "traffic.json"));
    const backend = await startBackend("blue");
    const first = await start(env);
    await setTraffic(first.adminUrl, { blue: { url: backend.url, weight: 100 } });
    const before = await currentTraffic(first.adminUrl);
    first.kill("SIGKILL");
    await first.exited;
    const second = await start(env);
    expect(await currentTraffic(second.adminUrl)).toEqual(before);
    expect(await (await fetch(second.url)).text()).toBe("blue");
  });

  test("SIGTERM, when a stream is open, then it ends whole, nobody new is let in, and the exit code is 0", async () => {
    const backend = await startStreamingBackend();
    // Longer than a test may take: the exit must not wait for it.
    const router = await start(environment(join(temporaryFolder(), "traffic.json"), 3_600));
    await setTraffic(router.adminUrl, { blue: { url: backend.url, weight: 100 } });
    const response = await fetch(`${router.url}/stream`);
    router.kill("SIGTERM");
    const refused = async () => {
      for (;;) await (await fetch(router.url, { headers: { connection: "close" } })).text();
    };
    await expect(refused()).rejects.toThrow();
    backend.finish();
    expect(await response.text()).toBe("start end");
    expect(await router.exited).toBe(0);
  });

  test("SIGTERM, when a stream outlasts the drain time, then it is cut and the exit code is 0", async () => {
    const backend = await startStreamingBackend();
    const router = await start(environment(join(temporaryFolder(), "traffic.json"), 0));
    await setTraffic(router.adminUrl, { blue: { url: backend.url, weight: 100 } });
    const response = await fetch(`${router.url}/stream`);
    router.kill("SIGTERM");
    await expect(response.text()).rejects.toThrow();
    expect(await router.exited).toBe(0);
  });

  test("settings, when several are wrong, then all are named at once with code 1 and no secret", async () => {
    const { code, output } = await runService("router", {
      [ROUTER_ENV.port]: "70000",
      [ROUTER_ENV.adminToken]: "short-secret",
      [ROUTER_ENV.drainSeconds]: "soon",
    });
    expect(code).toBe(1);
    for (const name of [
      ROUTER_ENV.port,
      ROUTER_ENV.adminPort,
      ROUTER_ENV.adminToken,
      ROUTER_ENV.stateFile,
      ROUTER_ENV.drainSeconds,
    ]) {
      expect(output).toContain(name);
    }
    expect(output).not.toContain("short-secret");
  });

  test("a state file, when it is not valid, then the router refuses to start and leaves it as it is", async () => {
    const file = join(temporaryFolder(), "traffic.json");
    writeFileSync(file, '{"generation": 3, "backends": {"blue"');
    const { code, output } = await runService("router", environment(file));
    expect([code, output.includes(file), output.includes("remedy")]).toEqual([1, true, true]);
    expect(readFileSync(file, "utf8")).toBe('{"generation": 3, "backends": {"blue"');
  });

  test("a port, when it is taken, then the router exits with code 1 and names it", async () => {
    const { server, url } = await startBackend("other");
    const { port } = new URL(url);
    const env = { ...environment(join(temporaryFolder(), "traffic.json")), [ROUTER_ENV.port]: port };
    const { code, output } = await runService("router", env);
    expect([code, output.includes(`EADDRINUSE`), output.includes(port)]).toEqual([1, true, true]);
    server.close();
    await once(server, "close");
  });

  test("a log, when requests carry a key and a prompt, then neither is in it", async () => {
    const router = await start(environment(join(temporaryFolder(), "traffic.json")));
    const headers = { authorization: "Bearer secret-key" };
    await (await fetch(router.url, { method: "POST", headers, body: "secret-prompt" })).text();
    router.kill("SIGTERM");
    expect(await router.exited).toBe(0);
    for (const secret of ["secret-key", "secret-prompt", TOKEN])
      expect(router.output()).not.toContain(secret);
  });
});
