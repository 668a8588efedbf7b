import { connect } from "node:net";
import { expect } from "vitest";
import { CATALOGUE } from "../../../services/gateway/api/errors.ts";

const LIMIT_MS = 20_000;
const CODES = new Map<string, number>(Object.values(CATALOGUE).map(({ code, status }) => [code, status]));

/** Sends bytes as they are, then the end; gives what comes back until the connection is closed. */
export async function sendRaw(port: number, bytes: Buffer | string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  const limit = setTimeout(() => {
    reject(
      new Error(`no end within ${LIMIT_MS} ms: ${JSON.stringify(bytes.toString("latin1").slice(0, 500))}`),
    );
    socket.destroy();
  }, LIMIT_MS);
  const over = () => {
    clearTimeout(limit);
    socket.destroy();
    resolve(Buffer.concat(chunks).toString("latin1"));
  };
  // A connection that is cut is an end like any other.
  socket
    .on("data", (chunk) => chunks.push(chunk))
    .once("end", over)
    .once("error", over)
    .once("close", over);
  socket.end(bytes);
  return promise;
}

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

/** The answers in what came back, one after another. */
export function answersIn(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = text;
  while (rest !== "") {
    const match = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest);
    expect(match, rest.slice(0, 300)).not.toBeNull();
    const [head = "", status = "", headers = ""] = match ?? [];
    const length = Number(/^content-length: (\d+)/im.exec(headers)?.[1] ?? rest.length - head.length);
    answers.push({ status: Number(status), body: rest.slice(head.length, head.length + length) });
    rest = rest.slice(head.length + length);
  }
  return answers;
}

/** Whatever a client sends, it is told what is wrong as OpenAI's API would, and it is never the gateway's fault. */
export function expectRefusal({ status, body }: RawAnswer): void {
  const { error } = JSON.parse(body) as { error: { message: unknown; type: unknown; code: string } };
  expect([error.code, CODES.get(error.code)]).toEqual([error.code, status]);
  expect(typeof error.message).toBe("string");
  expect(typeof error.type).toBe("string");
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
}
