import { z } from "zod";

function seconds(min: number, max: number) {
  return z
    .number({ error: `is no number of seconds; give one from ${min} to ${max}` })
    .refine((value) => value >= min && value <= max, {
      error: `is out of bounds; give a number from ${min} to ${max}`,
    });
}

function whole(min: number, max: number) {
  return z
    .int({ error: `is no whole number; give one from ${min} to ${max}` })
    .refine((value) => value >= min && value <= max, {
      error: `is out of bounds; give a whole number from ${min} to ${max}`,
    });
}

/** Deadlines, retries and breakers. */
export const resilienceSettings = z
  .strictObject({
    /** Seconds until an answer must be complete, or a stream must have begun. @default GATEWAY_REQUEST_TIMEOUT_SECONDS */
    deadlineSeconds: seconds(0.05, 3600).optional(),
    /** Seconds that a stream may last from its request's arrival. @default 3600, the longest deadline */
    maxStreamSeconds: seconds(0.1, 86_400).default(3600),
    retry: z
      .strictObject({
        /** Tries of each model of the chain, the first one included. @default 3 */
        tries: whole(1, 10).default(3),
        /** Seconds within which the first repetition is placed; doubled for each further one. @default 1 */
        baseSeconds: seconds(0.001, 60).default(1),
        /** @default 60 */
        maxSeconds: seconds(0.001, 600).default(60),
        /** Repetitions that a backend may be sent, as a share of its requests. @default 0.2, as in Finagle */
        budgetShare: z
          .number({ error: "is no number; give a share from 0 to 1" })
          .min(0, "is below 0; give a share from 0 to 1")
          .max(1, "is above 1; give a share from 0 to 1")
          .default(0.2),
        /** Repetitions that a backend may be sent at once, after a time without any. @default 100 */
        budgetBurst: whole(0, 100_000).default(100),
      })
      .prefault({}),
    breaker: z
      .strictObject({
        /** Failures in a row that open it. @default 5 */
        failures: whole(1, 1000).default(5),
        /** Seconds until a request may find out whether the backend is back. @default 60 */
        openSeconds: seconds(0.01, 3600).default(60),
      })
      .prefault({}),
  })
  .prefault({});

export type ResilienceSettings = z.infer<typeof resilienceSettings>;
