import { hash } from "node:crypto";
import { ApiError } from "../api/errors.ts";
import { feedbackRequest } from "../api/schemas.ts";
import { FEEDBACK_HEADER, NO_TENANT } from "../contract.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { userOf } from "./flagged.ts";
import { readValid } from "./validate.ts";

// A week: who rates an answer does so while it is remembered.
const VOTE_SECONDS = 604_800;

/** Gives the client a token to rate its answer by, if feedback is wanted. */
export function offerFeedback(exchange: Exchange, { feedback }: Gateway): void {
  if (feedback) exchange.headers.push(FEEDBACK_HEADER, feedback.issue(tenantOf(exchange)));
}

/** Counts one vote for each token. */
export async function takeFeedback(exchange: Exchange, gateway: Gateway): Promise<void> {
  const { token, rating } = await readValid(exchange, gateway, feedbackRequest);
  const rated = gateway.feedback?.read(token, tenantOf(exchange));
  if (!rated) {
    const message = "'token' is none that answers to this API key's tenant have carried.";
    throw new ApiError("invalid_request", { message, param: "token" });
  }
  const accepted = await isFirst(rated.nonce, gateway);
  if (accepted) await count(exchange, gateway, { about: rated.release, rating });
  exchange.answer = { kind: "json", status: 202, body: JSON.stringify({ object: "feedback", accepted }) };
}

function tenantOf({ principal }: Exchange): string {
  return principal?.tenant.id ?? NO_TENANT;
}

interface Vote {
  readonly about: string;
  readonly rating: string;
}

/** A user who complains about a release counts once, however many of its answers were bad. */
async function count(exchange: Exchange, gateway: Gateway, vote: Vote): Promise<void> {
  const { metrics } = gateway;
  metrics.feedback.inc({ ...vote });
  if (vote.rating !== "bad") return;
  const user = hash("sha256", `${tenantOf(exchange)}\n${userOf(exchange)}`, "hex");
  if (await isFirst(`${vote.about}:${user}`, gateway)) metrics.complainingUsers.inc({ about: vote.about });
}

async function isFirst(name: string, { keyValue }: Gateway): Promise<boolean> {
  try {
    if (keyValue) return await keyValue.setOnce(`feedback:${name}`, VOTE_SECONDS);
  } catch {
    // Its own watch tells that it is away.
  }
  throw new ApiError("unavailable");
}
