import { get } from "node:http";
import { connect } from "node:net";

/** One look at a health URL, true when it is well. Never throws: not being reachable is an answer. */
export async function isHealthy(healthUrl: string, timeoutMs: number): Promise<boolean> {
  const url = new URL(healthUrl);
  return url.protocol === "tcp:" ? await accepts(url, timeoutMs) : await answersWell(url, timeoutMs);
}

function accepts(url: URL, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({
      host: hostOf(url),
      port: Number(url.port),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const settle = (isWell: boolean): void => {
      socket.destroy();
      resolve(isWell);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

function answersWell(url: URL, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      const status = response.statusCode ?? 0;
      // Read to its end, so that the server does not see a client that hangs up; a body without end times out.
      response.on("error", () => response.destroy()).resume();
      resolve(status >= 200 && status < 300);
    });
    request.once("error", () => resolve(false));
  });
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}
