import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdminApp } from "./admin.ts";
import { createBackends } from "./backends.ts";
import { answerClientErrors } from "./client-error.ts";
import type { RouterConfig } from "./config.ts";
import { Exchange } from "./exchange.ts";
import { createMetrics } from "./metrics.ts";
import { openTrafficStore } from "./traffic.ts";

const ADMIN_HOST = "127.0.0.1";
// Covers the request line too. The gateway's limit is above it by what the router adds.
const MAX_REQUEST_HEADER_BYTES = 32 * 1024;
const HEADERS_TIMEOUT_MS = 15_000;
// A 100 MB upload at 1.4 Mbit/s; a client that trickles its body for longer is cut off.
const REQUEST_TIMEOUT_MS = 600_000;
// Longer than the idle time of common clients and load balancers, so that they close first.
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const IDLE_SWEEP_MS = 50;

export interface RunningRouter {
  /** Where clients go, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly adminUrl: string;
  /** Takes no new connection, lets requests in flight finish within the drain time, then cuts the rest. */
  close(): Promise<void>;
}

async function listen(server: Server, port: number, host: string): Promise<string> {
  server.listen(port, host);
  await once(server, "listening");
  const { port: actual } = server.address() as AddressInfo;
  return `http://${host.includes(":") ? `[${host}]` : host}:${actual}`;
}

async function drain(server: Server, seconds: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Node closes the connections that idle now; those that are busy would stay open after their answer.
  const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
  const timer = setTimeout(() => server.closeAllConnections(), seconds * 1000);
  await closed;
  clearInterval(sweep);
  clearTimeout(timer);
}

export async function startRouter(config: RouterConfig): Promise<RunningRouter> {
  const metrics = createMetrics();
  const backends = createBackends();
  const store = await openTrafficStore(config.stateFile, (traffic) => {
    backends.apply(traffic);
    metrics.show(traffic);
  });
  const context = { backends, metrics };
  const server = createServer(
    {
      maxHeaderSize: MAX_REQUEST_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      noDelay: true,
    },
    (request, response) => {
      response.shouldKeepAlive &&= server.listening;
      new Exchange(request, response, context).start();
    },
  );
  answerClientErrors(server);
  const admin = createServer(createAdminApp({ token: config.adminToken, store, metrics }));
  const adminUrl = await listen(admin, config.adminPort, ADMIN_HOST);
  const url = await listen(server, config.port, config.host).catch((error) => {
    admin.close();
    throw error;
  });
  return {
    url,
    adminUrl,
    close: async () => {
      await drain(server, config.drainSeconds);
      await drain(admin, 0);
      await backends.destroy();
    },
  };
}
