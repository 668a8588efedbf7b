import { pino } from "pino";
import { ConfigError } from "../shared/environment.ts";
import { readConfig } from "./config.ts";
import { startRouter } from "./router.ts";

const log = pino({ name: "router" });

async function main(): Promise<void> {
  const router = await startRouter(readConfig(process.env));
  log.info({ url: router.url, adminUrl: router.adminUrl }, "ready");
  const stop = async (signal: string) => {
    log.info({ signal }, "stopping");
    await router.close();
    log.info("stopped");
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

main().catch((error: unknown) => {
  const problem = error instanceof ConfigError ? { problems: error.message.split("\n") } : { err: error };
  log.fatal(problem, "the router cannot start");
  process.exit(1);
});
