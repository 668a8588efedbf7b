import { ConfigError } from "../shared/environment.ts";
import { readConfig } from "./config.ts";
import { startModelSimulator } from "./server.ts";

function print(fields: object) {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
}

async function main(): Promise<void> {
  const simulator = await startModelSimulator(readConfig(process.argv.slice(2), process.env));
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    print({ event: "stopping", signal });
    void simulator.shutDown();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  print({ event: "listening", url: simulator.url });
  await simulator.closed;
  process.exit(0);
}

main().catch((error: unknown) => {
  const problems = error instanceof ConfigError ? error.message.split("\n") : [String(error)];
  process.stderr.write(`${JSON.stringify({ event: "the model simulator cannot start", problems })}\n`);
  process.exit(1);
});
