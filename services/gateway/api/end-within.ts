import type { ServerResponse } from "node:http";

/**
 * Ends the connection of a client that stops reading before it has all of an answer that is complete: what is counted
 * when the connection is done with it would else never be.
 * @param idleMs milliseconds that the client may read nothing
 */
export function endWithin(response: ServerResponse, idleMs: number): void {
  if (response.writableLength > 0) response.setTimeout(idleMs);
}
