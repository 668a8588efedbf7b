import { z } from "zod";
import { POSTGRES_ENV } from "./contract.ts";

export interface PostgresConfig {
  /** @default "127.0.0.1" */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Without one any client on this machine is let in, which only a loopback host allows. */
  readonly password: string | undefined;
  readonly dataDir: string;
  /** @default 100 */
  readonly maxConnections: number;
  /** @default 30 */
  readonly idleTransactionSeconds: number;
}

const MIN_PASSWORD_LENGTH = 16;

/** A setting is missing or wrong; the message has one line for each. */
export class ConfigError extends Error {}

function wholeNumber([min, max]: readonly [number, number], remedy: string) {
  return z.string({ error: `is not set; ${remedy}` }).transform((text, context) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    context.addIssue({
      code: "custom",
      message: `"${text}" is not a whole number from ${min} to ${max}; ${remedy}`,
    });
    return z.NEVER;
  });
}

function text(remedy: string, minLength = 1) {
  const error = (issue: { input?: unknown }) =>
    issue.input === undefined || issue.input === "" ? `is not set; ${remedy}` : `is too short; ${remedy}`;
  return z.string({ error }).min(minLength, { error });
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

const settingsSchema = z.object({
  [POSTGRES_ENV.host]: text("set an address of this machine, such as 127.0.0.1").default("127.0.0.1"),
  [POSTGRES_ENV.port]: wholeNumber([0, 65_535], "set the port that clients use, or 0 for any free one"),
  [POSTGRES_ENV.password]: text(
    `set a random secret of at least ${MIN_PASSWORD_LENGTH} characters`,
    MIN_PASSWORD_LENGTH,
  ).optional(),
  [POSTGRES_ENV.dataDir]: text("set the path of the folder that keeps the data"),
  [POSTGRES_ENV.maxConnections]: wholeNumber(
    [1, 10_000],
    "set the sum of all clients' pool sizes or more",
  ).default(100),
  [POSTGRES_ENV.idleTransactionSeconds]: wholeNumber(
    [1, 3_600],
    "set the seconds that a transaction may wait for its client",
  ).default(30),
});

const environmentSchema = settingsSchema.refine(
  (settings) => settings.POSTGRES_PASSWORD !== undefined || LOOPBACK.test(settings.POSTGRES_HOST),
  {
    path: [POSTGRES_ENV.password],
    error: `is not set; set a random secret, or listen on 127.0.0.1 with ${POSTGRES_ENV.host}`,
    // Also beside other problems, so that all are told at once.
    when: () => true,
  },
);

/** Reads the settings; throws a ConfigError that names every problem at once and no secret. */
export function readConfig(environment: NodeJS.ProcessEnv): PostgresConfig {
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`);
    throw new ConfigError(problems.join("\n"));
  }
  const values = parsed.data;
  return {
    host: values.POSTGRES_HOST,
    port: values.POSTGRES_PORT,
    password: values.POSTGRES_PASSWORD,
    dataDir: values.POSTGRES_DATA_DIR,
    maxConnections: values.POSTGRES_MAX_CONNECTIONS,
    idleTransactionSeconds: values.POSTGRES_IDLE_TRANSACTION_SECONDS,
  };
}
