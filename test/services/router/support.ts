import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Color, Traffic } from "../../../services/router/contract.ts";
import { type RunningRouter, startRouter } from "../../../services/router/router.ts";

export const TOKEN = "router-admin-token-for-tests";

export interface TestBackend {
  readonly url: string;
  readonly server: Server;
}

/** A backend that answers with its name, or as `listener` says. */
export async function startBackend(name: string, listener?: RequestListener): Promise<TestBackend> {
  const server = createServer(listener ?? ((_request, response) => response.end(name)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: urlOf(server), server };
}

export function urlOf(server: { address(): AddressInfo | string | null }): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return `http://127.0.0.1:${address.port}`;
}

/** The URL of a port that nobody listens on. */
export async function closedUrl(): Promise<string> {
  const { server, url } = await startBackend("gone");
  server.close();
  await once(server, "close");
  return url;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "router-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function startTestRouter(drainSeconds = 1): Promise<RunningRouter> {
  const router = await startRouter({
    host: "127.0.0.1",
    port: 0,
    adminPort: 0,
    adminToken: TOKEN,
    stateFile: join(temporaryFolder(), "traffic.json"),
    drainSeconds,
  });
  onTestFinished(() => router.close());
  return router;
}

export async function admin(adminUrl: string, method: string, traffic?: unknown): Promise<Response> {
  return fetch(new URL("/v1/traffic", adminUrl), {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    ...(traffic === undefined ? {} : { body: JSON.stringify(traffic) }),
  });
}

export async function currentTraffic(adminUrl: string): Promise<Traffic> {
  const response = await admin(adminUrl, "GET");
  return response.json() as Promise<Traffic>;
}

/** Sets the weights with the next generation. */
export async function setTraffic(adminUrl: string, backends: Traffic["backends"]): Promise<void> {
  const { generation } = await currentTraffic(adminUrl);
  const response = await admin(adminUrl, "PUT", { generation: generation + 1, backends });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
}

/** A router in front of a blue and a green backend with `green` percent for the latter. */
export async function startPair(green: number, listener?: (name: Color) => RequestListener) {
  const router = await startTestRouter();
  const urls = {
    blue: (await startBackend("blue", listener?.("blue"))).url,
    green: (await startBackend("green", listener?.("green"))).url,
  };
  const shift = (percent: number) =>
    setTraffic(router.adminUrl, {
      blue: { url: urls.blue, weight: 100 - percent },
      green: { url: urls.green, weight: percent },
    });
  await shift(green);
  return { router, urls, shift };
}

/** A router that sends everything to one backend. */
export async function routerTo(url: string) {
  const router = await startTestRouter();
  await setTraffic(router.adminUrl, { blue: { url, weight: 100 } });
  return router;
}

/** Polls until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Polls until the number has not changed for a while; returns it. */
export async function settled(value: () => number): Promise<number> {
  const QUIET_POLLS = 30;
  let last = value();
  for (let quiet = 0; quiet < QUIET_POLLS; quiet += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (value() !== last) quiet = 0;
    last = value();
  }
  return last;
}
