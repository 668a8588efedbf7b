import { ApiError } from "../api/errors.ts";
import { costOf } from "../cost/price.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { type EstimatedTokens, estimateTokens } from "../limits/estimate.ts";
import { rateLimitHeaders } from "../limits/headers.ts";
import type { Refused } from "../limits/limiter.ts";
import { validated } from "./validate.ts";

/**
 * Reserves what the request is expected to take of its tenant's and its key's limits, and tells the client of them. It
 * comes after the route, which decides the price.
 */
export async function reserve(exchange: Exchange, { limiter, settings }: Gateway): Promise<void> {
  const { body, endpoint, principal, uuid } = exchange;
  if (!principal) throw new Error("authenticate must come before this step");
  const { outputTokens } = settings.limits;
  const expected = estimateTokens(validated(exchange), { endpoint, bytes: body.length, outputTokens });
  const tokens = expected.prompt + expected.completion;
  const answer = await limiter.reserve({
    id: uuid,
    principal,
    tokens,
    nanoUsd: costAtMost(exchange, expected),
  });
  exchange.headers.push(...rateLimitHeaders(answer));
  if (!answer.admitted) throw toApiError(answer, tokens);
  exchange.reservation = answer;
}

/** At the price of the dearest model that may answer. */
function costAtMost({ prices, route }: Exchange, { prompt, completion }: EstimatedTokens): number {
  let most = 0;
  for (const { name } of route?.models ?? []) {
    const price = prices?.get(name);
    const tokens = { promptTokens: prompt, cachedPromptTokens: 0, completionTokens: completion };
    if (price) most = Math.max(most, costOf(tokens, price));
  }
  return most;
}

function toApiError(refused: Refused, tokens: number): ApiError {
  const { because, retryAfterSeconds } = refused;
  switch (because) {
    case "revoked":
      return new ApiError("authentication_error");
    case "budget":
      return new ApiError("budget_exceeded", { retryAfterSeconds });
    case "too_large":
      return new ApiError("tokens_exceeded", {
        message: `The request takes up to ${tokens} tokens, more than may be used in a minute. Shorten it or lower its maximum of output tokens.`,
      });
    case "concurrency":
      return new ApiError("rate_limit_exceeded", {
        message: "Too many requests are under way at the same time. Try again later.",
        retryAfterSeconds,
      });
    default: {
      const limit = refused[because]?.limit;
      const message = `The limit of ${limit} ${because} per minute is reached. Try again in ${retryAfterSeconds} s.`;
      return new ApiError("rate_limit_exceeded", { message, retryAfterSeconds });
    }
  }
}

/** Gives back what the request did not take, whatever became of it: all, if it never came as far as a model. */
export function settleReservation({ bill, reservation }: Exchange): void {
  if (!reservation) return;
  const { promptTokens = 0, completionTokens = 0, nanoUsd = 0 } = bill ?? {};
  reservation.settle({ tokens: promptTokens + completionTokens, nanoUsd });
}
