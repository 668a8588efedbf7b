import { z } from "zod";

/** Files and batches. */
export const batchesSettings = z.strictObject({}).prefault({});
