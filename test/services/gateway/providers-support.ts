import { afterAll, beforeAll, beforeEach } from "vitest";
import { METRICS } from "../../../services/gateway/contract.ts";
import type { RunningGateway } from "../../../services/gateway/server.ts";
import { MESSAGE } from "./anthropic.ts";
import {
  answerChat,
  chatBody,
  type FakeReplica,
  metric,
  post,
  sendJson,
  startReplica,
  startTestGateway,
} from "./support.ts";

export let openai: FakeReplica;
export let anthropic: FakeReplica;
export let gateway: RunningGateway;

beforeAll(async () => {
  [openai, anthropic] = await Promise.all([startReplica(), startReplica()]);
  gateway = await startTestGateway({
    replicas: ["http://127.0.0.1:1"],
    env: { GATEWAY_CREDENTIALS: JSON.stringify({ one: "sk-one", two: "sk-two" }) },
    settings: {
      providers: {
        first: { kind: "openai", baseUrl: `${openai.url}/base/v1`, credential: "one" },
        second: { kind: "anthropic", baseUrl: anthropic.url, credential: "two" },
      },
      models: {
        gpt: { provider: "first", upstream: "gpt-upstream", deadlineSeconds: 1 },
        claude: { provider: "second", upstream: "claude-upstream", deadlineSeconds: 1, maxTokens: 777 },
        vectors: { provider: "first", upstream: "embed-upstream", task: "embeddings" },
      },
      resilience: { retry: { tries: 2, baseSeconds: 0.01, maxSeconds: 0.02 }, breaker: { failures: 1_000 } },
    },
  });
});

beforeEach(() => {
  openai.behave = answerChat;
  anthropic.behave = (_, response) => sendJson(response, MESSAGE);
  openai.received.length = 0;
  anthropic.received.length = 0;
});

afterAll(async () => {
  await gateway.close();
  await Promise.all([openai.close(), anthropic.close()]);
});

export const user = { role: "user", content: "Hi" };
export const gpt = (extra: object = {}) => post(gateway.url, { body: chatBody({ model: "gpt", ...extra }) });
export const claude = (extra: object = {}) =>
  post(gateway.url, { body: chatBody({ model: "claude", ...extra }) });
export const sent = () => JSON.parse(anthropic.received.at(-1)?.body ?? "{}") as Record<string, unknown>;
export const tokens = (model: string, type: string) =>
  metric(gateway.url, METRICS.tokens.name, { model, type });
