import pg from "pg";
import { ApiError } from "../api/errors.ts";
import { chatRequest, completionRequest, embeddingsRequest } from "../api/schemas.ts";
import type { Exchange, Gateway, Step } from "../exchange.ts";
import { traced } from "../telemetry/traced-step.ts";
import { authenticate } from "./authenticate.ts";
import { authorise, authoriseModel } from "./authorise.ts";
import { offerFeedback, takeFeedback } from "./feedback.ts";
import { infer } from "./infer.ts";
import { describeModel, listModels } from "./list-models.ts";
import { record } from "./record.ts";
import { requestId } from "./request-id.ts";
import { reserve } from "./reserve.ts";
import { respond } from "./respond.ts";
import { route } from "./route.ts";
import { openAccount } from "./settle.ts";
import { validate } from "./validate.ts";

/** What decides each answer, in order; the first step that throws decides it as an error. */
export const DECIDE = {
  chat: [
    requestId,
    authenticate,
    authorise("create", "chat"),
    validate(chatRequest),
    authoriseModel,
    route("chat"),
    openAccount,
    reserve,
    infer,
    offerFeedback,
  ],
  completions: [
    requestId,
    authenticate,
    authorise("create", "completions"),
    validate(completionRequest),
    authoriseModel,
    route("chat"),
    openAccount,
    reserve,
    infer,
    offerFeedback,
  ],
  embeddings: [
    requestId,
    authenticate,
    authorise("create", "embeddings"),
    validate(embeddingsRequest),
    authoriseModel,
    route("embeddings"),
    openAccount,
    reserve,
    infer,
    offerFeedback,
  ],
  feedback: [requestId, authenticate, authorise("create", "feedback"), takeFeedback],
  models: [requestId, authenticate, authorise("read", "models"), listModels],
} as const satisfies Record<string, readonly Step[]>;

/** What happens to every answer, errors too. */
const DELIVER = [record, respond] as const satisfies readonly Step[];

/** The steps of a request for one model's description. */
export function decideModel(name: string): readonly Step[] {
  return [requestId, authenticate, authorise("read", "models"), describeModel(name)];
}

/** The steps of a request about files or batches. */
export function decideContent(step: Step): readonly Step[] {
  return [requestId, authenticate, step];
}

/** The steps of a request that is refused whatever it holds, once its caller is known. */
export function decideRefusal(error: ApiError): readonly Step[] {
  return [
    requestId,
    authenticate,
    () => {
      throw error;
    },
  ];
}

/** Takes one exchange through its steps. Never rejects. */
export async function run(exchange: Exchange, gateway: Gateway, decide: readonly Step[]): Promise<void> {
  gateway.exchanges.add(exchange);
  const trace = gateway.telemetry.tracing.start(exchange);
  exchange.trace = trace;
  try {
    for (const step of trace ? decide.map((each) => traced(each, trace)) : decide) {
      const pending = step(exchange, gateway);
      if (pending) await pending;
    }
  } catch (error) {
    exchange.answer = { kind: "error", error: toApiError(error, exchange, gateway) };
  }
  for (const step of DELIVER) {
    try {
      step(exchange, gateway);
    } catch (error) {
      // There is no answer that could still be given.
      gateway.telemetry.unexpected(error, exchange);
      exchange.response.destroy();
    }
  }
}

// Class 22, data exceptions: texts with a zero byte, moments that no calendar has, numbers that are too large.
const DATA_EXCEPTION = /^22/;

function toApiError(error: unknown, exchange: Exchange, gateway: Gateway): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof pg.DatabaseError && DATA_EXCEPTION.test(error.code ?? "")) {
    return new ApiError("invalid_request", { message: "A value of the request is none that can be stored." });
  }
  gateway.telemetry.unexpected(error, exchange);
  return new ApiError("server_error");
}
