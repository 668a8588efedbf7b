import { z } from "zod";
import { parseEnvironment, text, wholeNumber } from "../shared/environment.ts";
import { KEY_VALUE_ENV } from "./contract.ts";

export interface KeyValueConfig {
  /** @default "127.0.0.1" */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly password: string;
  readonly dataFile: string;
  /** @default 1 */
  readonly snapshotSeconds: number;
  /** @default 67108864 */
  readonly maxMemoryBytes: number;
}

const MIN_PASSWORD_LENGTH = 16;
const DEFAULT_MAX_MEMORY_BYTES = 64 * 1024 * 1024;

const environmentSchema = z.object({
  [KEY_VALUE_ENV.host]: text("set an address of this machine, such as 127.0.0.1").default("127.0.0.1"),
  [KEY_VALUE_ENV.port]: wholeNumber([0, 65_535], "set the port that clients use, or 0 for any free one"),
  [KEY_VALUE_ENV.password]: text(
    `set a random secret of at least ${MIN_PASSWORD_LENGTH} characters`,
    MIN_PASSWORD_LENGTH,
  ),
  [KEY_VALUE_ENV.dataFile]: text("set the path of the file that keeps the data"),
  [KEY_VALUE_ENV.snapshotSeconds]: wholeNumber(
    [1, 3_600],
    "set the seconds of changes that a crash may lose",
  ).default(1),
  [KEY_VALUE_ENV.maxMemoryBytes]: wholeNumber(
    [1_000_000, 1_000_000_000],
    "set the bytes that keys and values may take",
  ).default(DEFAULT_MAX_MEMORY_BYTES),
});

/** Reads the settings; throws a ConfigError that names every problem at once and no secret. */
export function readConfig(environment: NodeJS.ProcessEnv): KeyValueConfig {
  const values = parseEnvironment(environmentSchema, environment);
  return {
    host: values.KEYVALUE_HOST,
    port: values.KEYVALUE_PORT,
    password: values.KEYVALUE_PASSWORD,
    dataFile: values.KEYVALUE_DATA_FILE,
    snapshotSeconds: values.KEYVALUE_SNAPSHOT_SECONDS,
    maxMemoryBytes: values.KEYVALUE_MAX_MEMORY_BYTES,
  };
}
