import { parseArgs } from "node:util";
import { withGround } from "./gateway/ground.ts";
import { measureField } from "./gateway/measure.ts";
import { PEERS } from "./gateway/peers.ts";
import { type Report, toLines, toReport } from "./gateway/report.ts";
import { startField } from "./gateway/targets.ts";

export interface GatewayBenchOptions {
  /** Whether Portkey and LiteLLM are measured too; they are fetched at the first use. */
  readonly peers: boolean;
  readonly rounds: number;
  /** Of each target in each round. */
  readonly seconds: number;
}

/**
 * Measures the gateway, nginx and others in turn, in front of the same models on loopback.
 * @returns undefined, after telling why, where it cannot be measured
 */
export async function benchGateway({ peers, ...effort }: GatewayBenchOptions): Promise<Report | undefined> {
  return withGround(async (ground) => {
    const field = await startField(ground, peers ? PEERS : []);
    return toReport(await measureField(field, { ...effort, folder: ground.folder }), field.missing);
  });
}

/** `npm run bench -- gateway [--peers] [--rounds 3] [--seconds 3] [--json]`. The figures do not decide how it exits. */
export async function runGatewayBench(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peers: { type: "boolean", default: false },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
    },
  });
  const report = await benchGateway({
    peers: values.peers,
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
  });
  if (!report) return;
  if (values.json) console.log(JSON.stringify(report, null, 2));
  else for (const line of toLines(report)) console.log(line);
}
