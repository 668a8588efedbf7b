import { randomUUID } from "node:crypto";
import { REQUEST_ID_HEADER } from "../contract.ts";
import type { Exchange } from "../exchange.ts";

const SANE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Takes the client's request id if it is a plain token, else makes one, and tells the client. */
export function requestId(exchange: Exchange): void {
  const given = exchange.request.headers[REQUEST_ID_HEADER];
  const fresh = randomUUID();
  const accepted = typeof given === "string" && SANE.test(given);
  exchange.id = accepted ? given : fresh;
  // Engines key their requests by this id: two clients with one id must not meet there.
  exchange.upstreamId = accepted ? `${given}-${fresh.slice(0, 8)}` : fresh;
  exchange.uuid = fresh;
  exchange.headers.push(REQUEST_ID_HEADER, exchange.id);
}
