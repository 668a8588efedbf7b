import { z } from "zod";

/** Deadlines, retries and breakers. */
export const resilienceSettings = z.strictObject({}).prefault({});
