import { pino } from "pino";
import { ConfigError } from "../shared/environment.ts";
import { readConfig } from "./config.ts";
import { startPostgres } from "./postgres.ts";

const log = pino({ name: "postgres" });

function fail(message: string, error: unknown): never {
  log.fatal(error instanceof ConfigError ? { problems: error.message.split("\n") } : { err: error }, message);
  process.exit(1);
}

async function main(): Promise<void> {
  const postgres = await startPostgres(readConfig(process.env), (error) =>
    fail("the database has failed", error),
  );
  log.info({ host: postgres.host, port: postgres.port }, "ready");
  const stop = async (signal: string) => {
    log.info({ signal }, "stopping");
    await postgres.close();
    log.info("stopped");
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

main().catch((error: unknown) => fail("the database cannot start", error));
