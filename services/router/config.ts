import { z } from "zod";
import { ROUTER_ENV } from "./contract.ts";

export interface RouterConfig {
  /** @default "127.0.0.1" */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** 0 lets the system choose. Always on 127.0.0.1. */
  readonly adminPort: number;
  readonly adminToken: string;
  readonly stateFile: string;
  /** @default 30 */
  readonly drainSeconds: number;
}

const MIN_TOKEN_LENGTH = 16;

/** A setting is missing or wrong; the message has one line for each. */
export class ConfigError extends Error {}

function wholeNumber(max: number, remedy: string) {
  return z.string({ error: `is not set; ${remedy}` }).transform((text, context) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value <= max) return value;
    context.addIssue({
      code: "custom",
      message: `"${text}" is not a whole number from 0 to ${max}; ${remedy}`,
    });
    return z.NEVER;
  });
}

function text(remedy: string, minLength = 1) {
  const error = (issue: { input?: unknown }) =>
    issue.input === undefined || issue.input === "" ? `is not set; ${remedy}` : `is too short; ${remedy}`;
  return z.string({ error }).min(minLength, { error });
}

const environmentSchema = z.object({
  [ROUTER_ENV.host]: text("set an address of this machine, such as 127.0.0.1").default("127.0.0.1"),
  [ROUTER_ENV.port]: wholeNumber(65_535, "set the port that clients use, or 0 for any free one"),
  [ROUTER_ENV.adminPort]: wholeNumber(65_535, "set the port for the admin API, or 0 for any free one"),
  [ROUTER_ENV.adminToken]: text(
    `set a random secret of at least ${MIN_TOKEN_LENGTH} characters`,
    MIN_TOKEN_LENGTH,
  ),
  [ROUTER_ENV.stateFile]: text("set the path of the file that keeps the weights"),
  [ROUTER_ENV.drainSeconds]: wholeNumber(
    86_400,
    "set the seconds that open requests may take to finish",
  ).default(30),
});

/** Reads the settings; throws a ConfigError that names every problem at once and no secret. */
export function readConfig(environment: NodeJS.ProcessEnv): RouterConfig {
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`);
    throw new ConfigError(problems.join("\n"));
  }
  const values = parsed.data;
  return {
    host: values.ROUTER_HOST,
    port: values.ROUTER_PORT,
    adminPort: values.ROUTER_ADMIN_PORT,
    adminToken: values.ROUTER_ADMIN_TOKEN,
    stateFile: values.ROUTER_STATE_FILE,
    drainSeconds: values.ROUTER_DRAIN_SECONDS,
  };
}
