import { runGatewayBench } from "./gateway.ts";
import { runGatewaySoak } from "./gateway-soak.ts";
import { runGatewaySteps } from "./gateway-steps.ts";
import { runLimitsBench } from "./limits.ts";
import { benchRelease, printReleaseBench } from "./release.ts";
import { benchStart, printStartBench } from "./start.ts";

/** What can be measured, by the name that `npm run bench -- <name>` takes. */
const BENCHES: Record<string, (args: readonly string[]) => Promise<void>> = {
  local: async () => {
    printStartBench(await benchStart());
    await runGatewayBench([]);
  },
  gateway: runGatewayBench,
  "gateway-soak": runGatewaySoak,
  "gateway-steps": runGatewaySteps,
  limits: runLimitsBench,
  release: async () => {
    if (!printReleaseBench(await benchRelease())) process.exitCode = 1;
  },
};

const [name = "", ...args] = process.argv.slice(2);
const bench = BENCHES[name];
if (bench) {
  await bench(args);
} else {
  console.error(`error: "${name}" is no benchmark.\nremedy: use ${Object.keys(BENCHES).join(", ")}.`);
  process.exitCode = 1;
}
