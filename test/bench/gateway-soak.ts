import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { withGround } from "./gateway/ground.ts";
import { InstrumentedGateway } from "./gateway/instrumented.ts";
import { aligned } from "./gateway/report.ts";
import { growth, leftBehind, sendMix, type Weight, weigh } from "./gateway/soak.ts";
import { startQuickModels } from "./gateway/targets.ts";

const GOAL_PERCENT = 10;
const SLICES = 10;
// Code is compiled, pools and caches are filled, the heap has found its size.
const WARM_UP_SHARE = 0.2;

/** `npm run bench -- gateway-soak [--requests 50000] [--profile full|minimal] [--json]`: 1,000,000 take some minutes. */
export async function runGatewaySoak(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      requests: { type: "string", default: "50000" },
      profile: { type: "string", default: "full" },
      json: { type: "boolean", default: false },
    },
  });
  const profile = values.profile === "minimal" ? "minimal" : "full";
  const weights = await soak(Number(values.requests), profile, (weight) => {
    if (!values.json) console.log(`${weight.requests} requests: ${megabytes(weight)}`);
  });
  if (!weights) return;
  if (values.json) console.log(JSON.stringify(weights, null, 2));
  else for (const line of toLines(weights)) console.log(line);
}

/** Weighs a gateway after its warm-up and after each tenth of the requests. */
export async function soak(
  requests: number,
  profile: "full" | "minimal",
  tell: (weight: Weight) => void = () => undefined,
): Promise<readonly Weight[] | undefined> {
  return withGround(async (ground) => {
    const gateway = await InstrumentedGateway.start(ground, await startQuickModels(ground), profile);
    const { port } = gateway.process;
    await sendMix(port, Math.ceil(requests * WARM_UP_SHARE));
    const weights = [await weigh(gateway, 0)];
    for (let slice = 1; slice <= SLICES; slice += 1) {
      await sendMix(port, Math.ceil(requests / SLICES));
      const weight = await weigh(gateway, slice * Math.ceil(requests / SLICES));
      weights.push(weight);
      tell(weight);
    }
    return weights;
  });
}

function megabytes({ held, resident }: Weight): string {
  return `${toMegabytes(held)} held, ${toMegabytes(resident)} resident`;
}

function toMegabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

export function toLines(weights: readonly Weight[]): string[] {
  const [before, after] = [weights[0], weights.at(-1)];
  if (!before || !after) return [];
  const row = (what: string, of: "held" | "resident") => {
    const percent = growth(before, after, of);
    const verdict = percent <= GOAL_PERCENT ? "reached" : "missed";
    return [what, toMegabytes(before[of]), toMegabytes(after[of]), `${percent.toFixed(1)} %`, verdict];
  };
  return [
    "",
    ...aligned([
      ["", "after warm-up", `after ${after.requests} requests`, "growth", `goal: <= ${GOAL_PERCENT} %`],
      row("held after garbage collection", "held"),
      row("resident", "resident"),
    ]),
    `left behind by each request: ${leftBehind(before, after).toFixed(0)} bytes`,
    `load average of the machine: ${loadavg()[0]?.toFixed(1)}`,
  ];
}
