// The gateway, with a second port (BENCH_CONTROL_PORT) that takes its CPU profile and weighs its memory.
import { createServer } from "node:http";
import { Session } from "node:inspector/promises";
import { setImmediate as turn } from "node:timers/promises";

const SAMPLING_MICROSECONDS = 200;
const session = new Session();
session.connect();

const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  "/profile/start": async () => {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: SAMPLING_MICROSECONDS });
    await session.post("Profiler.start");
    return {};
  },
  "/profile/stop": async () => session.post("Profiler.stop"),
  "/memory": async () => {
    // What was freed in one collection may hold on to what the next one frees: buffers, finalised objects.
    for (let round = 0; round < 3; round += 1) {
      await turn();
      await session.post("HeapProfiler.collectGarbage");
    }
    return process.memoryUsage();
  },
};

createServer((request, response) => {
  const command = COMMANDS[request.url ?? ""];
  if (!command) response.writeHead(404).end();
  else
    command().then(
      (answer) => response.end(JSON.stringify(answer)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
}).listen(Number(process.env.BENCH_CONTROL_PORT), "127.0.0.1");

await import("../../../services/gateway/main.ts");
