import type { Gateway } from "../exchange.ts";
import { priceTable } from "./price.ts";

/** Models that nobody can use, since what they cost is not known. */
export function unpricedModels({ models, settings }: Gateway): string[] {
  const prices = priceTable(settings.cost);
  return models.list.map(({ name }) => name).filter((name) => !prices.has(name));
}

/** Tells the operators of them; without a ledger they can be used. */
export function warnOfUnpriced(gateway: Gateway): void {
  const unpriced = gateway.ledger ? unpricedModels(gateway) : [];
  if (unpriced.length === 0) return;
  const fields = { event: "models_unpriced", models: unpriced };
  gateway.log.warn(fields, "refused until cost.prices names their prices");
}
