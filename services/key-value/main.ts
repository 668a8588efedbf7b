import { pino } from "pino";
import { ConfigError } from "../shared/environment.ts";
import { readConfig } from "./config.ts";
import { startKeyValue } from "./key-value.ts";

const log = pino({ name: "key-value" });

async function main(): Promise<void> {
  const keyValue = await startKeyValue(readConfig(process.env), {
    onSnapshotFailure: (err) => log.error({ err }, "the data file cannot be written"),
    onSessionFailure: (err) => log.error({ err }, "a connection failed"),
  });
  log.info({ host: keyValue.host, port: keyValue.port }, "ready");
  const stop = async (signal: string) => {
    log.info({ signal }, "stopping");
    await keyValue.close();
    log.info("stopped");
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

main().catch((error: unknown) => {
  const problem = error instanceof ConfigError ? { problems: error.message.split("\n") } : { err: error };
  log.fatal(problem, "the key-value server cannot start");
  process.exit(1);
});
