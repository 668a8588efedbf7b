import { get } from "node:http";
import { connect } from "node:net";

/**
 * One look at a health URL, true when it is well. Never throws: not being reachable is an answer.
 * `tcp://host:port` is well when it accepts; with `?send=<bytes, percent-encoded>` when it answers to them.
 */
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
    const greeting = greetingOf(url);
    socket.once("connect", () => (greeting ? socket.write(greeting) : settle(true)));
    socket.once("data", () => settle(true));
    socket.once("end", () => settle(false));
    socket.once("error", () => settle(false));
  });
}

/** A hung server still accepts, as the kernel does it; only an answer shows that it lives. */
function greetingOf(url: URL): Buffer | undefined {
  const encoded = /[?&]send=([^&]*)/.exec(url.search)?.[1];
  if (encoded === undefined) return undefined;
  const byte = (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16));
  return Buffer.from(encoded.replaceAll(/%([0-9A-Fa-f]{2})/g, byte), "latin1");
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
