import { entryOf } from "../audit/entry.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import { outcomeOf } from "../telemetry/outcome.ts";
import { settleReservation } from "./reserve.ts";
import { settleUsage } from "./settle.ts";

/** Tells of the exchange once its answer is complete or its client has left. Nothing personal is recorded. */
export function record(exchange: Exchange, gateway: Gateway): void {
  const { response } = exchange;
  if (response.closed) settle(exchange, gateway);
  else response.once("close", () => settle(exchange, gateway));
}

function settle(exchange: Exchange, gateway: Gateway): void {
  gateway.exchanges.delete(exchange);
  exchange.leaveModel();
  const outcome = outcomeOf(exchange);
  exchange.trace?.enter("settle");
  settleUsage(exchange, gateway, outcome.status);
  settleReservation(exchange);
  gateway.telemetry.record(exchange, outcome);
  const entry = gateway.audit && entryOf(exchange, gateway, outcome.status);
  if (entry) gateway.audit?.note(entry);
}
