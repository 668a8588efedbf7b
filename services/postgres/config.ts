import { z } from "zod";
import { parseEnvironment, text, wholeNumber } from "../shared/environment.ts";
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
  const values = parseEnvironment(environmentSchema, environment);
  return {
    host: values.POSTGRES_HOST,
    port: values.POSTGRES_PORT,
    password: values.POSTGRES_PASSWORD,
    dataDir: values.POSTGRES_DATA_DIR,
    maxConnections: values.POSTGRES_MAX_CONNECTIONS,
    idleTransactionSeconds: values.POSTGRES_IDLE_TRANSACTION_SECONDS,
  };
}
