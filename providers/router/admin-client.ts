import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { ROUTER_ADMIN_PATHS, type Traffic } from "../../services/router/contract.ts";
import { backends } from "./arguments.ts";

const TIMEOUT_MS = 5_000;

const trafficSchema = z.object({ generation: z.int().nonnegative(), backends });
const refusalSchema = z.object({ error: z.object({ message: z.string() }) });

/** Where the router's admin API is, and what opens it. */
export interface RouterAdmin {
  readonly adminUrl: string;
  readonly token: string;
}

/** The router did not answer, or not to this token: for a reader it is not there. */
export class RouterUnreachableError extends Error {}

/** The generation was not above the router's: someone else wrote in between. */
export class StaleGenerationError extends Error {}

export async function readTraffic(admin: RouterAdmin, signal: AbortSignal): Promise<Traffic> {
  return await trafficIn(await send(admin, signal, { method: "GET" }));
}

/** Sets weights. Throws a StaleGenerationError unless the generation is above the router's. */
export async function writeTraffic(admin: RouterAdmin, signal: AbortSignal, traffic: Traffic): Promise<void> {
  const body = JSON.stringify(traffic);
  await trafficIn(await send(admin, signal, { method: "PUT", body }));
}

/**
 * Puts the weights of a numbered decision in force; doing so again changes nothing. A router that serves nothing takes
 * them whatever its number is. @returns the router's generation
 * @throws StaleGenerationError when a later decision is in force
 */
export async function decideTraffic(
  admin: RouterAdmin,
  signal: AbortSignal,
  decided: Traffic,
): Promise<number> {
  const current = await readTraffic(admin, signal);
  if (isInForce(current, decided)) return current.generation;
  const servesNothing = Object.keys(current.backends).length === 0;
  const generation = servesNothing
    ? Math.max(decided.generation, current.generation + 1)
    : decided.generation;
  try {
    await writeTraffic(admin, signal, { generation, backends: decided.backends });
    return generation;
  } catch (error) {
    if (!(error instanceof StaleGenerationError)) throw error;
    // Whoever came in between may have carried out the same decision.
    const now = await readTraffic(admin, signal);
    if (isInForce(now, decided)) return now.generation;
    throw error;
  }
}

/** The same weights under a lower number are not: they are numbered anew, so that no step decided before can win. */
function isInForce(current: Traffic, decided: Traffic): boolean {
  return isDeepStrictEqual(current.backends, decided.backends) && current.generation >= decided.generation;
}

async function send(admin: RouterAdmin, signal: AbortSignal, init: RequestInit): Promise<Response> {
  const headers = { authorization: `Bearer ${admin.token}`, "content-type": "application/json" };
  const patience = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  let response: Response;
  try {
    const url = new URL(ROUTER_ADMIN_PATHS.traffic, admin.adminUrl);
    response = await fetch(url, { ...init, headers, redirect: "error", signal: patience });
  } catch (error) {
    signal.throwIfAborted();
    throw new RouterUnreachableError(`the router at ${admin.adminUrl} does not answer: start it first`, {
      cause: error,
    });
  }
  if (response.status === 401) {
    throw new RouterUnreachableError(
      `the router at ${admin.adminUrl} refuses the token: give it the router's own`,
    );
  }
  if (response.status === 409) throw new StaleGenerationError();
  if (response.ok) return response;
  const refusal = refusalSchema.safeParse(await response.json().catch(() => undefined));
  const reason = refusal.success ? `: ${refusal.data.error.message}` : "";
  throw new Error(`the router at ${admin.adminUrl} answered ${response.status}${reason}`);
}

async function trafficIn(response: Response): Promise<Traffic> {
  const traffic = trafficSchema.safeParse(await response.json().catch(() => undefined));
  if (traffic.success) return traffic.data;
  throw new Error(`what answers at ${new URL(response.url).origin} is not the router: check adminUrl`);
}
