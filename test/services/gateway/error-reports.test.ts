import { once } from "node:events";
import { createServer } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import { describeError } from "../../../services/gateway/telemetry/error-description.ts";
import { ErrorReports } from "../../../services/gateway/telemetry/error-reports.ts";
import { type GatewayProcess, startGatewayProcess } from "./process.ts";
import {
  closeServer,
  deadUrl,
  type FakeReplica,
  listen,
  metric,
  post,
  startReplica,
  until,
} from "./support.ts";

const KEY = "0123456789abcdef0123456789abcdef";
const PERSONAL = "ada.lovelace@example.org";

/** Breaks a part of the gateway: keys of one kind cannot be hashed, and a signal is the end of it. */
const SABOTAGE = `
  import crypto from "node:crypto";
  import { syncBuiltinESMExports } from "node:module";
  const { hash } = crypto;
  crypto.hash = (algorithm, text, encoding) => {
    if (String(text).startsWith("sk-broken")) throw new TypeError("cannot hash " + text);
    return hash(algorithm, text, encoding);
  };
  syncBuiltinESMExports();
  process.on("SIGUSR2", () => setImmediate(() => { throw new RangeError("${PERSONAL}"); }));
`;

interface Envelope {
  readonly path: string;
  readonly auth: string;
  readonly text: string;
  readonly event: {
    readonly level: string;
    readonly release: string;
    readonly environment: string;
    readonly tags: Record<string, string>;
    readonly exception: {
      readonly values: { type: string; value: string; stacktrace: { frames: { filename: string }[] } }[];
    };
  };
}

let replica: FakeReplica;
let envelopes: Envelope[];
let silent: boolean;
let requests: number;
let url: string;

const server = createServer(async (request, response) => {
  requests += 1;
  if (silent) return;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const event = JSON.parse(text.split("\n")[2] ?? "") as Envelope["event"];
  envelopes.push({ path: request.url ?? "", auth: String(request.headers["x-sentry-auth"]), text, event });
  response.writeHead(200, { "content-type": "application/json" }).end('{"id":"1"}');
  await once(response, "close");
});
let gateway: GatewayProcess | undefined;

beforeEach(async () => {
  envelopes = [];
  requests = 0;
  silent = false;
  [url, replica] = [await listen(server), await startReplica()];
});
afterEach(async () => {
  gateway?.signal("SIGKILL");
  await gateway?.exited;
  gateway = undefined;
  await Promise.all([closeServer(server), replica.close()]);
});

const dsn = (at = url) => `${at.replace("://", `://${KEY}@`)}/prefix/42`;

async function start(env: Record<string, string> = {}): Promise<GatewayProcess> {
  const program = [
    "--import",
    `data:text/javascript,${encodeURIComponent(SABOTAGE)}`,
    "services/gateway/main.ts",
  ];
  gateway = await startGatewayProcess({
    replicas: [replica.url],
    program,
    env: { GATEWAY_SENTRY_DSN: dsn(), ...env },
  });
  return gateway;
}

const broken = (to: GatewayProcess) =>
  post(to.url, { headers: { authorization: `Bearer sk-broken-${PERSONAL.replace("@", "-")}` } });

describe("A gateway with a mistake of its own, when a request meets it", () => {
  it("then the client gets 500, and one envelope tells where it happened and nothing that the client sent", async () => {
    const running = await start();
    expect((await broken(running)).status).toBe(500);
    await until(() => envelopes.length === 1);
    const [{ path, auth, text, event }] = envelopes as [Envelope];
    expect(path).toBe("/prefix/api/42/envelope/");
    expect(auth).toContain(`sentry_key=${KEY}`);
    expect(event).toMatchObject({ level: "error", release: "r1", environment: "blue" });
    expect(event.tags.endpoint).toBe("/v1/chat/completions");
    const [exception] = event.exception.values;
    expect(exception).toMatchObject({ type: "TypeError", value: "TypeError" });
    expect(exception?.stacktrace.frames.map(({ filename }) => filename)).toContain(
      "services/gateway/steps/authenticate.ts",
    );
    expect(text).not.toMatch(/sk-broken|lovelace/);
    await until(() => running.log.some(({ event: name }) => name === "unexpected"));
    expect(running.output.text).not.toMatch(/sk-broken|lovelace/);
  });

  it("then errors that clients are told of are not reported", async () => {
    const running = await start();
    expect((await post(running.url, { body: "{" })).status).toBe(400);
    replica.behave = (_, response) => void response.writeHead(418).end();
    expect((await post(running.url)).status).toBe(500);
    await broken(running);
    await until(() => envelopes.length > 0);
    expect(envelopes.map(({ event }) => event.exception.values[0]?.type)).toEqual(["TypeError"]);
  });

  it("then a receiver that is away or silent holds no request up, and few reports are tried", async () => {
    silent = true;
    const running = await start();
    const began = performance.now();
    for (let index = 0; index < 100; index += 1) expect((await broken(running)).status).toBe(500);
    expect(performance.now() - began).toBeLessThan(60_000);
    expect(requests).toBeLessThanOrEqual(8);
    expect(await metric(running.url, METRICS.telemetryDropped.name, { signal: "errors" })).toBeGreaterThan(
      50,
    );
  });
});

describe("A gateway that crashes", () => {
  it("then that is logged and reported as fatal before it ends with 1, without the error's words", async () => {
    const running = await start();
    running.signal("SIGUSR2");
    expect(await running.exited).toBe(1);
    expect(envelopes.map(({ event }) => [event.level, event.exception.values[0]?.type])).toEqual([
      ["fatal", "RangeError"],
    ]);
    expect(running.log.at(-1)).toMatchObject({ event: "crashed", err: { type: "RangeError" } });
    expect(running.output.text + envelopes[0]?.text).not.toContain(PERSONAL);
  });

  it("then a receiver that is away does not keep it alive", async () => {
    const running = await start({ GATEWAY_SENTRY_DSN: dsn(await deadUrl()) });
    running.signal("SIGUSR2");
    expect(await running.exited).toBe(1);
  });
});

describe("Reports, when there are many", () => {
  it("then at most 30 in a minute are sent, and the others are counted", async () => {
    let dropped = 0;
    const count = () => {
      dropped += 1;
    };
    const options = { dsn: dsn(), release: "r1", color: "blue", dropped: count };
    const reports = new ErrorReports(options);
    for (let index = 0; index < 40; index += 1) {
      reports.report(new Error("x"));
      await reports.close();
    }
    expect([envelopes.length, dropped]).toEqual([30, 10]);
  });
});

describe("An error, when it is described", () => {
  it("then its message is not there, even one that looks like a frame", () => {
    const error = Object.assign(new RangeError(`${PERSONAL}\n    at ${PERSONAL} (/x.ts:1:2)`), {
      code: "E_X",
    });
    const description = describeError(error);
    expect(description).toMatchObject({ type: "RangeError", code: "E_X" });
    expect(description.frames[0]?.file).toMatch(/error-reports\.test\.ts$/);
    expect(JSON.stringify(description)).not.toContain("lovelace");
    expect(describeError("text")).toEqual({ type: "string", code: undefined, frames: [] });
  });
});
