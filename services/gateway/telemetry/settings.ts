import { z } from "zod";

/** Traces, logs and error tracking. */
export const telemetrySettings = z.strictObject({}).prefault({});
