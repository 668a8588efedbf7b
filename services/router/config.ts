import { z } from "zod";
import { parseEnvironment, text, wholeNumber } from "../shared/environment.ts";
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

const environmentSchema = z.object({
  [ROUTER_ENV.host]: text("set an address of this machine, such as 127.0.0.1").default("127.0.0.1"),
  [ROUTER_ENV.port]: wholeNumber([0, 65_535], "set the port that clients use, or 0 for any free one"),
  [ROUTER_ENV.adminPort]: wholeNumber([0, 65_535], "set the port for the admin API, or 0 for any free one"),
  [ROUTER_ENV.adminToken]: text(
    `set a random secret of at least ${MIN_TOKEN_LENGTH} characters`,
    MIN_TOKEN_LENGTH,
  ),
  [ROUTER_ENV.stateFile]: text("set the path of the file that keeps the weights"),
  [ROUTER_ENV.drainSeconds]: wholeNumber(
    [0, 86_400],
    "set the seconds that open requests may take to finish",
  ).default(30),
});

/** Reads the settings; throws a ConfigError that names every problem at once and no secret. */
export function readConfig(environment: NodeJS.ProcessEnv): RouterConfig {
  const values = parseEnvironment(environmentSchema, environment);
  return {
    host: values.ROUTER_HOST,
    port: values.ROUTER_PORT,
    adminPort: values.ROUTER_ADMIN_PORT,
    adminToken: values.ROUTER_ADMIN_TOKEN,
    stateFile: values.ROUTER_STATE_FILE,
    drainSeconds: values.ROUTER_DRAIN_SECONDS,
  };
}
