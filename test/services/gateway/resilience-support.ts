import { afterEach, beforeEach } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import {
  answerChat,
  type Behaviour,
  chatBody,
  type FakeReplica,
  MODEL,
  metric,
  startReplica,
  startTestGateway,
  type TestGatewayOptions,
  until,
} from "./support.ts";

export const STREAM = chatBody({ stream: true });
export const SOON = { baseSeconds: 0.01, maxSeconds: 0.05 };

export let replica: FakeReplica;
export let other: FakeReplica;
let gateway: RunningGateway | undefined;

beforeEach(async () => {
  [replica, other] = await Promise.all([startReplica(), startReplica()]);
});

afterEach(async () => {
  await gateway?.close();
  await Promise.all([replica.close(), other.close()]);
});

export interface Start {
  readonly replicas?: readonly string[];
  readonly retry?: object;
  readonly breaker?: object;
  readonly models?: object;
  readonly resilience?: object;
  readonly idleSeconds?: string;
}

/** Starts a gateway that ends with its test. */
export async function launch(options: TestGatewayOptions): Promise<RunningGateway> {
  gateway = await startTestGateway(options);
  return gateway;
}

export async function start(options: Start = {}): Promise<string> {
  const { replicas = [replica.url], retry, breaker = { failures: 1_000 }, models = {}, resilience } = options;
  const { url } = await launch({
    replicas,
    settings: {
      resilience: { retry: { ...SOON, ...retry }, breaker, ...resilience },
      models: { [MODEL]: models },
    },
    env: { GATEWAY_STREAM_IDLE_TIMEOUT_SECONDS: options.idleSeconds ?? "10" },
  });
  await until(async () => (await metric(url, METRICS.replicasHealthy.name, { model: MODEL })) > 0).catch(
    () => {},
  );
  return url;
}

/** Behaves in one way for the first requests, then answers. */
export function atFirst(times: number, behave: Behaviour): Behaviour {
  let count = 0;
  return (request, response) => {
    count += 1;
    return count <= times ? behave(request, response) : answerChat(request, response);
  };
}

export const retries = (url: string, reason: string) =>
  metric(url, METRICS.retries.name, { model: MODEL, reason });
