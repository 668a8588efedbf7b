import { readConfig } from "./config.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { ENV } from "./contract.ts";
import { startGateway } from "./server.ts";

function fail(error: unknown): never {
  for (const problem of toProblems(error)) {
    process.stderr.write(`${JSON.stringify({ level: "fatal", service: "gateway", ...problem })}\n`);
  }
  process.exit(1);
}

function toProblems(error: unknown): readonly Partial<ConfigProblem>[] {
  if (error instanceof ConfigError) return error.problems;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") {
    return [
      {
        field: ENV.port,
        problem: "is in use",
        remedy: "end the program that listens there, or use another port",
      },
    ];
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") {
    return [
      { field: ENV.host, problem: "is no address of this machine", remedy: "use one such as 127.0.0.1" },
    ];
  }
  return [{ problem: error instanceof Error ? error.message : String(error) }];
}

try {
  const starting = startGateway(readConfig(process.env));
  // From the first moment: who sees it listen may already want it to stop.
  const stop = () => void starting.then((gateway) => gateway.close()).then(() => process.exit(0), fail);
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  process.on("SIGHUP", () => void starting.then((gateway) => gateway.reload(), fail));
  process.on("uncaughtException", (error) => {
    // Node.js itself would print the message, which may hold what a client wrote.
    const end = () => process.exit(1);
    void starting.then((gateway) => gateway.crashed(error)).then(end, end);
  });
  await starting;
} catch (error) {
  fail(error);
}
