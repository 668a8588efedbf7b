import { z } from "zod";

/** A setting is missing or wrong; the message has one line for each, and shows no secret. */
export class ConfigError extends Error {}

/** A setting that is a whole number, bounds included. */
export function wholeNumber([min, max]: readonly [number, number], remedy: string) {
  return z.string({ error: `is not set; ${remedy}` }).transform((text, context) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    context.addIssue({
      code: "custom",
      message: `"${text}" is not a whole number from ${min} to ${max}; ${remedy}`,
    });
    return z.NEVER;
  });
}

/** A setting that is a text; its value is never shown, as it may be secret. */
export function text(remedy: string, minLength = 1) {
  const error = (issue: { input?: unknown }) =>
    issue.input === undefined || issue.input === "" ? `is not set; ${remedy}` : `is too short; ${remedy}`;
  return z.string({ error }).min(minLength, { error });
}

/** Reads settings; throws a ConfigError that names every problem at once. */
export function parseEnvironment<T extends z.ZodType>(
  schema: T,
  environment: NodeJS.ProcessEnv,
): z.output<T> {
  const parsed = schema.safeParse(environment);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`);
  throw new ConfigError(problems.join("\n"));
}
