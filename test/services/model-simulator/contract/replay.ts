import { request } from "undici";
import type { RecordedExchange } from "./recording.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends a recorded request as it was sent. */
export async function replay(
  url: string,
  recorded: RecordedExchange["request"],
  extra?: Record<string, string>,
): Promise<Answer> {
  const { method, path, headers, body } = recorded;
  const response = await request(url + path, { method, body, headers: { ...headers, ...extra } });
  const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)] as const);
  return { status: response.statusCode, headers: Object.fromEntries(flat), body: await response.body.text() };
}

export function recordedAnswer({ response }: RecordedExchange): Answer {
  const headers = Object.fromEntries(response.headers.map(([name, value]) => [name.toLowerCase(), value]));
  return { status: response.status, headers, body: response.body };
}
