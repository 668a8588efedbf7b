import { ConfigError, readConfig } from "./config.ts";
import { startGateway } from "./server.ts";

function fail(error: unknown): never {
  const problems = error instanceof ConfigError ? error.problems : [{ problem: messageOf(error) }];
  for (const problem of problems) {
    process.stderr.write(`${JSON.stringify({ level: "fatal", service: "gateway", ...problem })}\n`);
  }
  process.exit(1);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  const gateway = await startGateway(readConfig(process.env));
  const stop = () => void gateway.close().then(() => process.exit(0), fail);
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
} catch (error) {
  fail(error);
}
