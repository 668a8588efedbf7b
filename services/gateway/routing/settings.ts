import { z } from "zod";

/** Aliases, tasks, the hybrid rule and affinity. */
export const routingSettings = z.strictObject({}).prefault({});

/** Models by name: what is known of them beside their replicas. */
export const modelsSettings = z.record(z.string(), z.strictObject({})).default({});

/** Services of others that answer for models. */
export const providersSettings = z.record(z.string(), z.strictObject({})).default({});

/** Regions by the region of a tenant: where its data may go. */
export const residencySettings = z.record(z.string(), z.array(z.string())).default({});
