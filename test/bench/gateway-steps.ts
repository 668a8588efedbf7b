import { parseArgs } from "node:util";
import { MODEL } from "./gateway/answer.ts";
import { readStreams } from "./gateway/client.ts";
import { withGround } from "./gateway/ground.ts";
import { InstrumentedGateway } from "./gateway/instrumented.ts";
import { type Breakdown, breakDown, type Share, total } from "./gateway/profile.ts";
import { aligned } from "./gateway/report.ts";
import { STREAMING_MODEL } from "./gateway/settings.ts";
import { CHUNKS, startModels } from "./gateway/targets.ts";
import { CONNECTIONS, load } from "./gateway/wrk.ts";

const WARM_UP_SECONDS = 3;
const MOST_ROWS = 30;
const MOST_FUNCTIONS = 20;

/** Where the CPU time of a gateway went, and over how many units it was spread. */
export interface Steps {
  readonly breakdown: Breakdown;
  readonly units: number;
  readonly unit: "request" | "chunk";
}

export interface StepsOptions {
  readonly profile: "full" | "minimal";
  readonly stream: boolean;
  readonly seconds: number;
}

/** `npm run bench -- gateway-steps [--profile full|minimal] [--stream] [--seconds 5] [--json]`. */
export async function runGatewaySteps(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      profile: { type: "string", default: "full" },
      stream: { type: "boolean", default: false },
      seconds: { type: "string", default: "5" },
      json: { type: "boolean", default: false },
    },
  });
  const profile = values.profile === "minimal" ? "minimal" : "full";
  const steps = await profileSteps({ profile, stream: values.stream, seconds: Number(values.seconds) });
  if (!steps) return;
  if (values.json) console.log(JSON.stringify(steps, null, 2));
  else for (const line of toLines(steps)) console.log(line);
}

/** Profiles one gateway under load. @returns undefined, after telling why, where that cannot be done */
export async function profileSteps({ profile, stream, seconds }: StepsOptions): Promise<Steps | undefined> {
  return withGround(async (ground) => {
    const gateway = await InstrumentedGateway.start(ground, await startModels(ground), profile);
    const { port } = gateway.process;
    const { folder } = ground;
    const streams = { port, model: STREAMING_MODEL, perConnection: 1, spreadMs: 0 };
    await load({ port, model: MODEL, seconds: WARM_UP_SECONDS, folder });
    if (stream) await readStreams(streams);
    let units = 0;
    const taken = await gateway.profile(async () => {
      if (stream) {
        await readStreams(streams);
        units = CHUNKS * CONNECTIONS;
      } else units = (await load({ port, model: MODEL, seconds, folder })).requests;
    });
    return { breakdown: breakDown(taken), units, unit: stream ? "chunk" : "request" } as const;
  });
}

export function toLines({ breakdown, units, unit }: Steps): string[] {
  const { busy, files, packages, functions } = breakdown;
  const table = (name: string, shares: readonly Share[]) => {
    const head = [name, `µs/${unit}`, "share", "own code", "packages", "Node.js"];
    const micro = (value: number) => (value / units).toFixed(2);
    const rows = shares
      .slice(0, MOST_ROWS)
      .map((share) => [
        share.name,
        micro(total(share)),
        `${((100 * total(share)) / busy).toFixed(1)} %`,
        micro(share.own),
        micro(share.packages),
        micro(share.node),
      ]);
    return aligned([head, ...rows]);
  };
  const hottest = functions
    .slice(0, MOST_FUNCTIONS)
    .map(({ name, time }) => [name, (time / units).toFixed(2), `${((100 * time) / busy).toFixed(1)} %`]);
  return [
    `${units} ${unit}s, ${(busy / units).toFixed(1)} µs of the gateway's main thread each`,
    "",
    ...table("file", files),
    "",
    ...table("package", packages),
    "",
    ...aligned([["function, without what it calls", `µs/${unit}`, "share"], ...hottest]),
  ];
}
