import { z } from "zod";

/** How requests wait when all replicas are busy. */
export const queueSettings = z.strictObject({}).prefault({});
