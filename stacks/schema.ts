import { z } from "zod";

/** A whole number within bounds, whose errors say them. */
export const whole = (min: number, max: number, what: string) =>
  z
    .int({ error: `is no whole number; give ${what} from ${min} to ${max}` })
    .min(min, { error: `is below ${min}; give ${what} from ${min} to ${max}` })
    .max(max, { error: `is above ${max}; give ${what} from ${min} to ${max}` });
