import type { Gateway } from "../exchange.ts";
import { priceTable } from "./price.ts";

/** Tells the operators which models nobody can use, since what they cost is not known. */
export function warnOfUnpriced({ ledger, models, settings, log }: Gateway): void {
  if (!ledger) return;
  const prices = priceTable(settings.cost);
  const unpriced = models.list.map(({ name }) => name).filter((name) => !prices.has(name));
  if (unpriced.length === 0) return;
  log.warn({ event: "models_unpriced", models: unpriced }, "refused until cost.prices names their prices");
}
