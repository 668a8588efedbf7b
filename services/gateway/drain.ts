import type { Server } from "node:http";
import net from "node:net";
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import type { BackgroundWork } from "./batches/service.ts";
import type { Gateway } from "./exchange.ts";
import { UpstreamFailure } from "./upstream/failure.ts";

// Time for the last error events to reach their clients once everything was cancelled.
const LAST_WORDS_MS = 250;

/**
 * Stops without losing a request.
 *
 * From the first moment /ready says 503 and every answer closes its connection. For `drainDelaySeconds` new
 * connections are still served, for load balancers to notice. Then the port closes, but connections that are idle stay
 * open until their keep-alive time is over, as the client was told: a request may be on its way on any of them. What
 * runs after `drainSeconds` is ended with an error. Batches' lines that run end like requests, others are given back.
 */
export async function drain(
  server: Server,
  gateway: Gateway,
  background: BackgroundWork | undefined,
): Promise<void> {
  const { drainDelaySeconds, drainSeconds } = gateway.config;
  gateway.draining = true;
  gateway.log.info({ event: "draining", requests: gateway.exchanges.size }, "draining");
  gateway.log.flush();
  const stopped = background?.stop();
  await wait(drainDelaySeconds * 1000);
  const closed = Promise.all([stopListening(server), stopped]);
  const patience = new AbortController();
  const over = wait(drainSeconds * 1000, "over", { signal: patience.signal }).catch(() => "closed");
  if ((await Promise.race([closed, over])) === "over") {
    gateway.log.warn({ event: "drain_over", requests: gateway.exchanges.size }, "ending what still runs");
    for (const exchange of gateway.exchanges)
      exchange.cancel(new UpstreamFailure("cancelled", "shutting down"));
    background?.abort();
    await Promise.race([closed, wait(LAST_WORDS_MS)]);
  }
  patience.abort();
  server.closeAllConnections();
  // http.Server's own close also stops the timer that checks for stalled connections.
  server.close();
  await closed;
  await recorded(gateway);
}

// An exchange is recorded when its connection is gone, which is a moment after the server is.
async function recorded({ exchanges }: Gateway): Promise<void> {
  const limit = performance.now() + LAST_WORDS_MS;
  while (exchanges.size > 0 && performance.now() < limit) await turn();
}

// http.Server.close would also end idle connections at once; net.Server.close only stops listening.
function stopListening(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  net.Server.prototype.close.call(server, () => resolve());
  return promise;
}
