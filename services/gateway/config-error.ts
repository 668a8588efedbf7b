import type { z } from "zod";

/** One setting that cannot be used. Never holds the setting's value. */
export interface ConfigProblem {
  readonly field: string;
  readonly problem: string;
  readonly remedy: string;
}

/** Every problem of the configuration at once. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(({ field, problem, remedy }) => `${field} ${problem}: ${remedy}`).join("\n"));
    this.problems = problems;
  }
}

// A value that was put in the place of a name, such as a secret, looks like none.
const FIELD = /^[A-Za-z_]{1,32}$/;

function named(keys: readonly string[]): string {
  return keys.every((key) => FIELD.test(key)) ? keys.join(", ") : String(keys.length);
}

/** A problem from one of a schema's issues, whose messages have the form "what is wrong; what to do". */
export function toProblem(issue: z.core.$ZodIssue): ConfigProblem {
  const [first, ...rest] = issue.path.map(String);
  const field = `${first}${rest.map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`)).join("")}`;
  if (issue.code === "unrecognized_keys") {
    return { field, problem: `has unknown fields (${named(issue.keys)})`, remedy: "remove or correct them" };
  }
  const [problem = "", remedy = "correct it"] = issue.message.split("; ", 2);
  return { field, problem, remedy };
}
