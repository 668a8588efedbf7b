import type { IncomingMessage } from "node:http";

// RFC 9110, section 7.6.1: these belong to one connection. `expect` is answered by the listener itself.
const HOP_BY_HOP = new Set([
  "connection",
  "expect",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

// Set by the router alone: a client could otherwise claim another origin.
const CLIENT_ORIGIN = new Set([
  "forwarded",
  "host",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-real-ip",
]);

function namedByConnection(value: string): ReadonlySet<string> | undefined {
  const lower = value.toLowerCase();
  if (lower === "keep-alive" || lower === "close") return undefined;
  return new Set(lower.split(",").map((name) => name.trim()));
}

/** Headers for the backend, as a flat list of names and values. */
export function requestHeaders(request: IncomingMessage): string[] {
  const raw = request.rawHeaders;
  const dropped = namedByConnection(request.headers.connection ?? "keep-alive");
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || CLIENT_ORIGIN.has(lower) || dropped?.has(lower)) continue;
    kept.push(name, raw[i + 1] ?? "");
  }
  kept.push("x-forwarded-for", request.socket.remoteAddress ?? "unknown", "x-forwarded-proto", "http");
  if (request.headers.host !== undefined) kept.push("x-forwarded-host", request.headers.host);
  return kept;
}

function asText(part: string | Buffer | undefined): string {
  return typeof part === "string" ? part : (part?.toString("latin1") ?? "");
}

/** Headers for the client from the backend's raw ones, as a flat list; repeated ones stay apart. */
export function responseHeaders(raw: readonly (string | Buffer)[]): string[] {
  const kept: string[] = [];
  let dropped: ReadonlySet<string> | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = asText(raw[i]);
    const lower = name.toLowerCase();
    if (lower === "connection") dropped = namedByConnection(asText(raw[i + 1]));
    if (!HOP_BY_HOP.has(lower)) kept.push(name, asText(raw[i + 1]));
  }
  return dropped === undefined ? kept : withoutNames(kept, dropped);
}

function withoutNames(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, i) => !names.has((headers[i - (i % 2)] ?? "").toLowerCase()));
}
