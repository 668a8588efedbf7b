import { NO_MODEL, UNKNOWN_MODEL } from "../contract.ts";
import type { Exchange } from "../exchange.ts";
import { ClientLeft } from "../upstream/failure.ts";

const CLIENT_LEFT = 499;

/** How a request ended, for all that tells of it. */
export interface Outcome {
  /** From its arrival to the last byte of its answer. */
  readonly seconds: number;
  /** 499: the client left first. */
  readonly status: number;
  /** One of the gateway's models, never what a client wrote. */
  readonly model: string;
  /** How the answer failed by our fault; a client that left or sent a wrong request is none of it. */
  readonly failed: "status" | "stream" | undefined;
}

/** What became of an exchange that is over. */
export function outcomeOf(exchange: Exchange): Outcome {
  const status = exchange.abandoned ? CLIENT_LEFT : exchange.response.statusCode;
  return {
    seconds: (performance.now() - exchange.startedAt) / 1000,
    status,
    model: exchange.model?.name ?? (exchange.unknownModel ? UNKNOWN_MODEL : NO_MODEL),
    failed: failureOf(exchange, status),
  };
}

function failureOf(exchange: Exchange, status: number): Outcome["failed"] {
  const { answer, abandoned, error, failure, cancelled } = exchange;
  if (exchange.degraded) return "status";
  if (answer?.kind !== "stream") return status >= 500 ? "status" : undefined;
  // A whole stream can still be cut on its way to the client.
  const cause = failure ?? (abandoned ? cancelled : undefined);
  if (!cause || cause instanceof ClientLeft) return undefined;
  return error === undefined || error.status >= 500 ? "stream" : undefined;
}
