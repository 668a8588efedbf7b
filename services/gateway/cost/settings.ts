import { z } from "zod";

/** Prices, budgets' currency and the local journal. */
export const costSettings = z.strictObject({}).prefault({});
