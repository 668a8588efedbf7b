import type Anthropic from "@anthropic-ai/sdk";
import { Agent, fetch } from "undici";
import { ApiError } from "../../api/errors.ts";
import { PATHS } from "../../contract.ts";
import type { InferenceRequest } from "../../exchange.ts";
import { Backend } from "../../upstream/backend.ts";
import type { Call, UpstreamEvents, UpstreamRequest } from "../../upstream/call.ts";
import type { ProvidedModel } from "../backend-of.ts";
import { AnthropicCall } from "./call.ts";
import { toMessagesRequest } from "./request.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
// The gateway sets its own deadlines and cancels by them; this one is never reached.
const NEVER_MS = 24 * 3_600_000;

/** Anthropic's Messages API, spoken through its SDK; to the gateway it looks like a backend that speaks OpenAI's. */
export class AnthropicBackend extends Backend {
  readonly #model: ProvidedModel;
  readonly #agent: Agent;
  readonly #client: Promise<Anthropic>;

  constructor(url: string, model: ProvidedModel) {
    super(model);
    this.#model = model;
    this.#agent = new Agent({
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      connect: { timeout: CONNECT_TIMEOUT_MS },
    });
    this.#client = connect(url, model.secret, this.#agent);
  }

  override refuses(request: InferenceRequest, endpoint: string): ApiError | undefined {
    if (endpoint !== PATHS.chatCompletions) {
      return new ApiError("invalid_request", {
        message: "This model serves chat completions only.",
        param: "model",
      });
    }
    try {
      toMessagesRequest(request, this.#model);
      return undefined;
    } catch (error) {
      if (error instanceof ApiError) return error;
      throw error;
    }
  }

  send({ request }: UpstreamRequest, events: UpstreamEvents): Call {
    this.outstanding += 1;
    const call = new AnthropicCall(events, this, this.#model.model);
    void call.run(this.#client, toMessagesRequest(request, this.#model), request.stream === true);
    return call;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Only where there is such a provider: the SDK takes 27 MB and 0.2 s (measured with 1.12 on Node 24). */
async function connect(url: string, secret: string | undefined, dispatcher: Agent): Promise<Anthropic> {
  const { default: Client } = await import("@anthropic-ai/sdk");
  return new Client({
    baseURL: url.replace(/\/+$/, "").replace(/\/v1$/, ""),
    // Null keeps the SDK from looking for a key in the environment.
    apiKey: secret ?? null,
    authToken: null,
    maxRetries: 0,
    timeout: NEVER_MS,
    logLevel: "off",
    openTelemetry: false,
    // The fetch that belongs to the dispatcher, whose connections the gateway can end.
    fetch: ((input: string, init: object) =>
      fetch(input, { ...init, dispatcher })) as unknown as typeof globalThis.fetch,
  });
}
