import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { errorCode } from "./errors.ts";
import type { Ports } from "./placeholders.ts";
import { describeHolder } from "./port-holder.ts";

// Below every system's range for outgoing connections, so that none of those takes a picked port before its process.
const LOWEST_PICK = 20_000;
const HIGHEST_PICK = 30_000;
const PICKS = 200;

const reserved = new Set<number>();

/** Ports for one start: `ports` as the process gets them; `release` ends the promise that no other start takes them. */
export interface PortReservation {
  readonly ports: Ports;
  release(): void;
}

/** Checks that fixed ports are free and picks one for each 0, the preferred one where it is still free. */
export async function reservePorts(wanted: Ports, preferred: Ports): Promise<PortReservation> {
  const taken: number[] = [];
  const release = (): void => {
    for (const port of taken) reserved.delete(port);
  };
  const take = async (port: number): Promise<boolean> => {
    if (reserved.has(port)) return false;
    reserved.add(port);
    if (await isFree(port)) {
      taken.push(port);
      return true;
    }
    reserved.delete(port);
    return false;
  };
  const ports: Record<string, number> = {};
  try {
    for (const [variable, port] of Object.entries(wanted)) {
      if (port === 0) ports[variable] = await pick(preferred[variable], take);
      else if (await take(port)) ports[variable] = port;
      else throw new Error(busyPort(variable, port));
    }
  } catch (error) {
    release();
    throw error;
  }
  return { ports, release };
}

/** What to tell about a fixed port that something else holds. */
export function busyPort(variable: string, port: number): string {
  return `port ${port} (${variable}) is in use${describeHolder(port)}: stop it or choose another port for ${variable}`;
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      if (errorCode(error) === "EADDRINUSE") resolve(false);
      else if (errorCode(error) === "EACCES")
        reject(new Error(`port ${port} needs privileges: choose one above 1023`));
      else reject(error);
    });
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

async function pick(
  preferred: number | undefined,
  take: (port: number) => Promise<boolean>,
): Promise<number> {
  if (preferred !== undefined && preferred > 0 && (await take(preferred))) return preferred;
  for (let attempt = 0; attempt < PICKS; attempt += 1) {
    const port = randomInt(LOWEST_PICK, HIGHEST_PICK);
    if (await take(port)) return port;
  }
  throw new Error(`no free port found from ${LOWEST_PICK} to ${HIGHEST_PICK - 1}: stop what holds them`);
}
